"""WebSockets get through."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.proxy.lint.directives import NginxTree
from cakravia_verify.proxy.lint.model import LintFacts, LintRule, Severity, Spot
from cakravia_verify.proxy.lint.paths import is_websocket
from cakravia_verify.proxy.lint.pools import http_version, path_of, proxied


def _find(tree: NginxTree, facts: LintFacts) -> Iterator[Spot]:
    for block, passing in proxied(tree):
        if not is_websocket(path_of(block)):
            continue
        names = {each.first.lower() for each in block.effective("proxy_set_header")}
        missing = [name for name in ("Upgrade", "Connection") if name.lower() not in names]
        if http_version(block, facts.nginx) == "1.0":
            missing.append("proxy_http_version 1.1")
        if missing:
            yield Spot(passing, f"location {path_of(block)} lacks {', '.join(missing)}")


RULE: Final = LintRule(
    id="websocket-upgrade",
    title="WebSockets get through",
    severity=Severity.ERROR,
    reason="without the headers Upgrade and Connection the application refuses the WebSocket",
    remedy=(
        "write proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "
        "$connection_upgrade; (a map of $http_upgrade)"
    ),
    find=_find,
)
