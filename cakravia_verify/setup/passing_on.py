"""Edit the nginx configuration of the old set-up so that it passes requests on to this site's proxy. Pure text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from cakravia_verify.errors import UsageError

_UPSTREAM: Final = re.compile(r"(\bupstream\s+(\S+)\s*\{)([^}]*)(\})")
_SERVER: Final = re.compile(r"([ \t]*)\bserver\s+([^\s;]+)([^;]*);")
_PROXY_PASS: Final = re.compile(r"(\bproxy_pass\s+http://)([^\s;/]+)")
_COMMENT: Final = re.compile(r"#[^\n]*")
REMEDY: Final = "edit that file by hand, or name the target: cakravia migrate --from HOST:PORT"


def groups_of(text: str) -> tuple[tuple[str, ...], ...]:
    """Return the targets of the configuration: those of each upstream together, and each other host:port alone."""
    text = _COMMENT.sub("", text)
    upstreams = {group[2]: [server[2] for server in _SERVER.finditer(group[3])] for group in _UPSTREAM.finditer(text)}
    groups = [tuple(map(_with_port, servers)) for servers in upstreams.values()]
    passes = [found[2] for found in _PROXY_PASS.finditer(text)]
    groups += [(_with_port(target),) for target in passes if target not in upstreams and "$" not in target]
    return tuple(dict.fromkeys(groups))


def passed_on(text: str, *, old: frozenset[str], to: str) -> str:
    """Return the configuration with `to` in the place of the targets `old`. Everything else stays as it is.

    Raises UsageError if a target is a variable, which only nginx knows.
    """
    bare = _COMMENT.sub(lambda found: " " * len(found[0]), text)
    if "$" in " ".join(found[2] for found in _PROXY_PASS.finditer(bare)):
        raise UsageError("proxy_pass has a variable, so its target is known to nginx alone", remedy=REMEDY)
    edits = sorted(_edits(bare, old=old, to=to), reverse=True)
    for start, end, new in edits:
        text = text[:start] + new + text[end:]
    return text


def _edits(text: str, *, old: frozenset[str], to: str) -> Iterator[tuple[int, int, str]]:
    """Yield (start, end, replacement). Of an upstream with a replaced server, only one server is left."""
    groups = set()
    for group in _UPSTREAM.finditer(text):
        groups.add(group[2])
        servers = list(_SERVER.finditer(text, group.start(3), group.end(3)))
        if not any(_with_port(server[2]) in old for server in servers):
            continue
        first = servers[0]
        yield first.start(), first.end(), f"{first[1]}server {to};"
        for server in servers[1:]:
            yield server.start(), server.end(), ""
    for found in _PROXY_PASS.finditer(text):
        if found[2] not in groups and _with_port(found[2]) in old:
            yield found.start(2), found.end(2), to


def _with_port(target: str) -> str:
    return target if re.search(r":\d+$", target) or target.startswith("unix:") else f"{target}:80"
