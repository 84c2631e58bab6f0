"""A slot gets as long to finish as the proxy lets a request take."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.proxy.lint.directives import NginxTree
from cakravia_verify.proxy.lint.model import LintFacts, LintRule, Severity, Spot
from cakravia_verify.proxy.lint.paths import is_stream
from cakravia_verify.proxy.lint.pools import path_of, proxied, read_timeout


def _find(tree: NginxTree, facts: LintFacts) -> Iterator[Spot]:
    if facts.grace is None:
        return
    for block, passing in proxied(tree):
        limit = read_timeout(block)
        if limit > facts.grace and not is_stream(path_of(block)):
            written = block.effective("proxy_read_timeout")
            yield Spot(
                written[-1] if written else passing,
                f"proxy_read_timeout {limit:g}s is longer than the grace of {facts.grace:g}s",
            )


RULE: Final = LintRule(
    id="read-timeout-over-grace",
    title="A slot gets as long to finish as the proxy lets a request take",
    severity=Severity.ERROR,
    reason="the slot is killed in the middle of a request that the proxy still waits for",
    remedy="give the slot a longer grace, or write a shorter proxy_read_timeout",
    find=_find,
)
