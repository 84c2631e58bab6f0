"""A slot that is gone is left before its users give up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.proxy.lint.directives import NginxTree
from cakravia_verify.proxy.lint.model import LintFacts, LintRule, Severity, Spot
from cakravia_verify.proxy.lint.pools import has_another, pool_of, proxied
from cakravia_verify.proxy.lint.values import seconds_of

LONGEST: Final = 5.0


def _find(tree: NginxTree, facts: LintFacts) -> Iterator[Spot]:
    for block, passing in proxied(tree):
        if not any(has_another(pool) for pool in pool_of(passing, tree)):
            continue
        written = block.effective("proxy_connect_timeout")
        if not written:
            yield Spot(passing, "proxy_connect_timeout is not set: 60s")
        elif (seconds_of(written[-1].value) or 0) > LONGEST:
            yield Spot(written[-1], f"proxy_connect_timeout {written[-1].value}")


RULE: Final = LintRule(
    id="connect-timeout-long",
    title="A slot that is gone is left before its users give up",
    severity=Severity.ERROR,
    reason=(
        "an address that swallows connections is waited for during proxy_connect_timeout, 60 s by default: "
        "clients give up before the other slot is asked"
    ),
    remedy="write proxy_connect_timeout 2s;",
    find=_find,
)
