"""An error of one version is not replaced by the answer of the other."""

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
        for each in block.effective("proxy_next_upstream"):
            hidden = [word for word in each.arguments if word.startswith("http_") or word == "invalid_header"]
            if hidden:
                yield Spot(each, f"the other slot answers after {', '.join(hidden)}")


RULE: Final = LintRule(
    id="retry-hides-errors",
    title="An error of one version is not replaced by the answer of the other",
    severity=Severity.ERROR,
    reason=(
        "the other slot answers instead of the one that failed: failures of the new version stay hidden, and "
        "requests run twice"
    ),
    remedy="write proxy_next_upstream error; without http_ conditions",
    find=_find,
)
