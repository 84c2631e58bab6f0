"""A quiet stream is not cut."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.proxy.lint.directives import NginxTree
from cakravia_verify.proxy.lint.model import LintFacts, LintRule, Severity, Spot
from cakravia_verify.proxy.lint.paths import is_stream
from cakravia_verify.proxy.lint.pools import path_of, proxied, read_timeout

LEAST: Final = 120.0


def _find(tree: NginxTree, facts: LintFacts) -> Iterator[Spot]:
    for block, passing in proxied(tree):
        if is_stream(path_of(block)) and read_timeout(block) < LEAST:
            written = block.effective("proxy_read_timeout")
            yield Spot(
                written[-1] if written else passing, f"streams are cut after {read_timeout(block):g}s without a message"
            )


RULE: Final = LintRule(
    id="stream-timeout-short",
    title="A quiet stream is not cut",
    severity=Severity.ERROR,
    reason="a stream without a message for proxy_read_timeout, 60 s by default, is cut",
    remedy="write proxy_read_timeout 1h; in this location",
    find=_find,
)
