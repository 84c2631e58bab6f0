"""A request that changes something is sent to one slot only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.proxy.lint.directives import NginxTree
from cakravia_verify.proxy.lint.model import LintFacts, LintRule, Severity, Spot


def _find(tree: NginxTree, facts: LintFacts) -> Iterator[Spot]:
    for each in tree.root.walk():
        if not each.name.endswith("_next_upstream") or "non_idempotent" not in each.arguments:
            continue
        block = each.outer
        if block is not None and block.setting("proxy_method") in ("GET", "HEAD"):
            continue
        yield Spot(each, f"{each.name} {each.value}")


RULE: Final = LintRule(
    id="retry-non-idempotent",
    title="A request that changes something is sent to one slot only",
    severity=Severity.ERROR,
    reason="nginx sends a POST again after the first slot may have done it: it is done twice",
    remedy="remove non_idempotent; an error that the client sees is better than a second payment",
    find=_find,
)
