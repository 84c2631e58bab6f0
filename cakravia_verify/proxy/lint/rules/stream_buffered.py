"""Events reach users when they happen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.proxy.lint.directives import NginxTree
from cakravia_verify.proxy.lint.model import LintFacts, LintRule, Severity, Spot
from cakravia_verify.proxy.lint.paths import is_event_stream
from cakravia_verify.proxy.lint.pools import http_version, path_of, proxied


def _find(tree: NginxTree, facts: LintFacts) -> Iterator[Spot]:
    for block, passing in proxied(tree):
        is_kept = http_version(block, facts.nginx) == "1.0" and block.setting("proxy_buffering") != "off"
        if is_kept and is_event_stream(path_of(block)):
            yield Spot(passing, f"location {path_of(block)} is read by HTTP/1.0 and has no proxy_buffering off")


RULE: Final = LintRule(
    id="stream-buffered",
    title="Events reach users when they happen",
    severity=Severity.ERROR,
    reason="nginx keeps what it reads by HTTP/1.0 until a buffer is full",
    remedy="write proxy_buffering off; in this location",
    find=_find,
)
