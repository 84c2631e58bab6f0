"""The two slots have different addresses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.proxy.lint.directives import NginxTree
from cakravia_verify.proxy.lint.model import LintFacts, LintRule, Severity, Spot
from cakravia_verify.proxy.lint.pools import primary, slot_pools


def _find(tree: NginxTree, facts: LintFacts) -> Iterator[Spot]:
    for pair in slot_pools(tree):
        first, second = ({each.first for each in primary(pool)} for pool in (pair.first, pair.second))
        for address in sorted(first & second):
            yield Spot(pair.second, f"{address} is in upstream {pair.names[0]} and in {pair.names[1]}")


RULE: Final = LintRule(
    id="slots-equal",
    title="The two slots have different addresses",
    severity=Severity.ERROR,
    reason="the switch changes nothing: users stay on the same process, although the release says that they moved",
    remedy="give each slot its own address",
    find=_find,
)
