"""What a reload changes for users: the differences between two parsed configurations, in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.proxy.lint.directives import Directive, NginxTree
from cakravia_verify.proxy.lint.pools import PASSES, is_internal, is_switched_without_reload, path_of, proxied
from cakravia_verify.proxy.lint.values import seconds_of

# What the value of a directive is for users. One that is missing here changes nothing that they see.
_WORDS: Final = {
    "listen": "nginx listens at {}",
    "server_name": "the site has the names {}",
    "return": "nginx itself answers {}",
    "rewrite": "addresses are rewritten: {}",
    "client_max_body_size": "request bodies may have {}",
    "large_client_header_buffers": "the head of a request may have {}",
    "client_header_timeout": "a request has {} for its head",
    "client_body_timeout": "a request may pause for {} within its body",
    "send_timeout": "a client may pause for {} within an answer",
    "proxy_buffer_size": "the head of an answer may have {}",
    "proxy_connect_timeout": "a slot has {} to take a connection",
    "proxy_read_timeout": "an answer may take {}",
    "proxy_next_upstream": "a request is sent again after {}",
    "proxy_buffering": "answers are buffered: {}",
    "proxy_request_buffering": "request bodies are buffered: {}",
    "proxy_cache": "answers come from the cache {}",
    "proxy_hide_header": "answers lose the headers {}",
    "keepalive_timeout": "idle connections stay open for {}",
    "limit_conn": "open connections are limited: {}",
    "limit_req": "requests are limited: {}",
    "add_header": "answers have the headers {}",
    "expires": "browsers keep answers for {}",
    "error_page": "errors have the pages {}",
    "gzip": "answers are compressed: {}",
    "gzip_types": "answers are compressed if they are {}",
    "auth_basic": "a password is needed: {}",
    "allow": "only these are let in: {}",
    "deny": "these are kept out: {}",
    "ssl_certificate": "the certificate is {}",
    "ssl_protocols": "browsers may use {}",
    **dict.fromkeys(PASSES, "requests go to {}"),
}
# What the proxy itself answers, for the tools around it.
_OWN_PATHS: Final = "/.cakravia/"
_BLOCKS: Final = ("http", "server", "location")
_MATCHES: Final = {"=": "exactly", "~": "paths like", "~*": "paths like"}
_STATUSES_OF_HTTP: Final = {*range(300, 418), 426, 428, 429, 431, 451, *range(500, 512)}


def effects_of(before: NginxTree, after: NginxTree) -> tuple[str, ...]:
    """Return one line for each thing that users will see: new, removed and changed locations, limits and headers."""
    old, new = _places(before), _places(after)
    lines: list[str] = []
    for place in dict.fromkeys([*new, *old]):
        if place not in new:
            lines.append(f"{place} is removed")
        elif place not in old:
            told = ", ".join(_told(name, values) for name, values in new[place].items())
            lines.append(f"{place} is new{': ' if told else ''}{told}")
        else:
            lines += _changed(place, old[place], new[place])
    return tuple(lines)


def reload_warnings(loaded: NginxTree) -> Iterator[str]:
    """Yield what a reload itself does to users of the configuration that runs now."""
    least = next(loaded.root.all("keepalive_min_timeout"), None)
    if (least is None or seconds_of(least.first) == 0) and next(proxied(loaded), None) is not None:
        yield "the reload closes idle connections at once: requests on their way on them are lost"
    limit = next(loaded.root.all("worker_shutdown_timeout"), None)
    if limit is not None:
        yield f"answers and streams that take longer than {limit.first} are cut"
    elif not is_switched_without_reload(loaded) and "upgrade" in _passed_headers(loaded):
        yield "open streams stay with the old configuration until they end"


def _passed_headers(tree: NginxTree) -> set[str]:
    return {each.first.lower() for each in tree.root.all("proxy_set_header")}


def _places(tree: NginxTree) -> dict[str, dict[str, tuple[str, ...]]]:
    """Return what users see of each block, by the block's name. Named and internal locations have no address."""
    places: dict[str, dict[str, tuple[str, ...]]] = {}
    for block in (tree.root, *tree.root.all(*_BLOCKS)):
        if block.first.startswith("@") or is_internal(block) or path_of(block).startswith(_OWN_PATHS):
            continue
        seen = places.setdefault(_name_of(block), {})
        for each in block.inner:
            if each.name in _WORDS and not _is_detour(each):
                seen[each.name] = (*seen.get(each.name, ()), _value_of(each))
    return places


def _is_detour(directive: Directive) -> bool:
    """Whether a status stands for a way inside nginx: no client ever gets it."""
    codes = [int(word) for word in directive.arguments if word.isdigit() and len(word) == 3]
    return directive.name in ("return", "error_page") and bool(codes) and not _STATUSES_OF_HTTP & set(codes)


def _value_of(directive: Directive) -> str:
    seconds = seconds_of(directive.value) if directive.name.endswith(("_timeout", "expires")) else None
    return directive.value if seconds is None else f"{seconds:g} s"


def _name_of(block: Directive) -> str:
    """Return the block's name for people: the names of its server if it has some, and its path."""
    server, location = block.inside("server"), block.inside("location")
    names = " ".join(each.value for each in server.own("server_name")) if server is not None else ""
    parts = [names] if names not in ("", "_") else []
    if location is not None:
        match = _MATCHES.get(location.first, "path")
        parts.append(f"{match} {location.last}")
    return ", ".join(parts) or ("the site" if server is not None else "everywhere")


def _changed(place: str, old: dict[str, tuple[str, ...]], new: dict[str, tuple[str, ...]]) -> Iterator[str]:
    for name in dict.fromkeys([*new, *old]):
        before, after = old.get(name, ()), new.get(name, ())
        if before == after:
            continue
        if not after:
            yield f"{place}: no longer: {_told(name, before)}"
        else:
            yield f"{place}: {_told(name, after)}, before {', '.join(before) if before else 'unset'}"


def _told(name: str, values: tuple[str, ...]) -> str:
    return _WORDS[name].format(", ".join(values))
