"""Which pools of servers there are, which two of them are slots, and what chooses between them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from cakravia_verify.proxy.lint.directives import Directive, NginxTree
from cakravia_verify.proxy.lint.values import seconds_of, variables_in

PASSES: Final = ("proxy_pass", "grpc_pass", "fastcgi_pass", "uwsgi_pass", "scgi_pass")
_PAIRS: Final = (
    *(("blue", "green"), ("old", "new"), ("stable", "canary"), ("current", "next"), ("v1", "v2"), ("a", "b")),
    *(("1", "2"), ("active", "idle"), ("active", "standby"), ("live", "staging"), ("prod", "canary")),
)
_WORDS: Final = re.compile(r"[A-Za-z]+[0-9]*|[0-9]+")


@dataclass(frozen=True)
class SlotPools:
    """The upstreams of two slots."""

    first: Directive
    second: Directive

    @property
    def names(self) -> tuple[str, str]:
        return self.first.first, self.second.first


def upstreams(tree: NginxTree) -> dict[str, Directive]:
    """Return every upstream by its name."""
    return {each.first: each for each in tree.root.all("upstream")}


def servers(pool: Directive) -> list[Directive]:
    """Return the servers of an upstream that get requests."""
    return [each for each in pool.own("server") if "down" not in each.arguments]


def addresses(pool: Directive) -> set[str]:
    return {each.first.removeprefix("http://") for each in servers(pool)}


def host_of(target: str) -> str:
    """Return the host of the argument of proxy_pass and its kin, with its port."""
    return re.sub(r"^\w+://", "", target).split("/", 1)[0] if not target.startswith("unix:") else target


def pool_of(passing: Directive, tree: NginxTree) -> list[Directive]:
    """Return the upstreams that a proxy_pass may use."""
    pools = upstreams(tree)
    host = host_of(passing.first)
    if host in pools:
        return [pools[host]]
    names = variables_in(host)
    if not names:
        return []
    pattern = re.compile(re.sub(r"\\\$(\\\{)?\w+(\\\})?", r"[\\w.-]*", re.escape(host)))
    values = {value for name in names for value in values_of(name, tree)}
    chosen = [pool for name, pool in pools.items() if name in values]
    return chosen or [pool for name, pool in pools.items() if host.strip("${}") != names[0] and pattern.fullmatch(name)]


def values_of(variable: str, tree: NginxTree) -> Iterator[str]:
    """Yield the constants that `set`, `map`, `geo` and `split_clients` give a variable."""
    for each in tree.root.all("set"):
        if each.first == f"${variable}" and len(each.arguments) == 2:
            yield each.arguments[1]
    for block in tree.root.all("map", "geo", "split_clients"):
        if block.arguments[-1:] == (f"${variable}",):
            yield from (each.arguments[-1] for each in block.inner if each.arguments)


def slot_pools(tree: NginxTree) -> Iterator[SlotPools]:
    """Yield each two upstreams whose names differ in one word, as in app_blue and app_green."""
    pools = upstreams(tree)
    for name, pool in pools.items():
        for first, second in _PAIRS:
            other = _replaced(name, first, by=second)
            if other and other in pools:
                yield SlotPools(pool, pools[other])


def switch_variables(tree: NginxTree) -> set[str]:
    """Return the variables that choose between upstreams, or between addresses."""
    return {name for each in tree.root.all(*PASSES) for name in variables_in(host_of(each.first))}


def is_switched_without_reload(tree: NginxTree) -> bool:
    """Whether a file, or a program inside nginx, says for each request which slot it goes to."""
    variables = switch_variables(tree)
    by_file = (
        each for test in tree.root.all("if") if test.first.lstrip("!") in ("-f", "-e", "-d") for each in test.own("set")
    )
    by_program = tree.root.all("js_set", "set_by_lua_block", "set_by_lua_file", "perl_set", "keyval")
    set_so = {word for each in by_program for word in each.arguments} | {each.first for each in by_file}
    if variables & {word.lstrip("$") for word in set_so}:
        return True
    return any("realpath_root" in each.first for each in tree.root.all("map"))


def proxied(tree: NginxTree) -> Iterator[tuple[Directive, Directive]]:
    """Yield each block that passes requests on to users' slots, and its proxy_pass. Internal locations
    and pools of TCP are left out."""
    for each in tree.root.all("proxy_pass"):
        block = each.outer
        if block is not None and block.inside("stream") is None and not is_internal(block):
            yield block, each


def is_internal(block: Directive) -> bool:
    """Whether users cannot reach a location by its address: subrequests and mirrors."""
    return any(each.own("internal") for each in (block, *block.around) if each.name == "location")


def path_of(block: Directive) -> str:
    """Return the path or pattern of the location around a directive, '' outside of locations."""
    location = block.inside("location")
    return location.last if location is not None else ""


def _replaced(name: str, word: str, *, by: str) -> str:
    """Return the name with one word replaced, '' if it does not have that word."""
    found = [each for each in _WORDS.finditer(name) if each[0].lower() == word]
    if len(found) != 1:
        return ""
    return f"{name[: found[0].start()]}{by}{name[found[0].end() :]}"


def primary(pool: Directive) -> list[Directive]:
    """Return the servers of an upstream that are no backups."""
    return [each for each in servers(pool) if "backup" not in each.arguments]


def has_another(pool: Directive) -> bool:
    """Whether a request can go from one address of the upstream to another one."""
    return len(addresses(pool)) > 1


def read_timeout(block: Directive) -> float:
    """Return how long nginx waits for an answer in this block, in seconds."""
    written = seconds_of(block.setting("proxy_read_timeout"))
    return 60.0 if written is None else written


def http_version(block: Directive, nginx: tuple[int, ...] | None) -> str:
    """Return the version of HTTP towards slots. The default is 1.1 since nginx 1.29.7."""
    default = "1.1" if nginx is not None and nginx >= (1, 29, 7) else "1.0"
    return block.setting("proxy_http_version") or default
