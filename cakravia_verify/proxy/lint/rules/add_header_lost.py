"""A location keeps the headers that the server adds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.proxy.lint.directives import NginxTree
from cakravia_verify.proxy.lint.model import LintFacts, LintRule, Severity, Spot
from cakravia_verify.proxy.lint.pools import proxied


def _find(tree: NginxTree, facts: LintFacts) -> Iterator[Spot]:
    for block, _ in proxied(tree):
        lost = block.removed("add_header")
        if lost and block.setting("add_header_inherit") != "merge":
            yield Spot(block.own("add_header")[0], f"this location loses {', '.join(sorted(lost))}")


RULE: Final = LintRule(
    id="add-header-lost",
    title="A location keeps the headers that the server adds",
    severity=Severity.WARNING,
    reason=("one add_header in a location removes all that stand outside of it: answers lose their security headers"),
    remedy="repeat them in the location, or write add_header_inherit merge; (nginx 1.29.3 or newer)",
    find=_find,
)
