"""A slow request is not run again on the other version."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.proxy.lint.directives import NginxTree
from cakravia_verify.proxy.lint.model import LintFacts, LintRule, Severity, Spot
from cakravia_verify.proxy.lint.pools import has_another, pool_of, proxied


def _find(tree: NginxTree, facts: LintFacts) -> Iterator[Spot]:
    for block, passing in proxied(tree):
        if not any(has_another(pool) for pool in pool_of(passing, tree)):
            continue
        if block.setting("proxy_next_upstream_tries") == "1":
            continue
        written = block.effective("proxy_next_upstream")
        if not written:
            yield Spot(passing, "proxy_next_upstream is not set: error timeout")
        elif "timeout" in written[-1].arguments:
            yield Spot(written[-1], f"proxy_next_upstream {written[-1].value}")


RULE: Final = LintRule(
    id="retry-on-timeout",
    title="A slow request is not run again on the other version",
    severity=Severity.ERROR,
    reason=(
        "after proxy_read_timeout nginx asks the next server: a slow GET, PUT or DELETE runs on both versions "
        "and users get the answer of the other one"
    ),
    remedy="write proxy_next_upstream error;",
    find=_find,
)
