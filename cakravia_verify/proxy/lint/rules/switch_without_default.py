"""The variable of the switch always has a value."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.proxy.lint.directives import NginxTree
from cakravia_verify.proxy.lint.model import LintFacts, LintRule, Severity, Spot
from cakravia_verify.proxy.lint.pools import switch_variables


def _find(tree: NginxTree, facts: LintFacts) -> Iterator[Spot]:
    for name in sorted(switch_variables(tree)):
        assigned = [each for each in tree.root.all("set") if each.first == f"${name}"]
        if assigned and all(each.outer is not None and each.outer.name == "if" for each in assigned):
            yield Spot(assigned[0], f"${name} is set inside of if alone")
        for block in tree.root.all("map"):
            if block.arguments[-1:] == (f"${name}",) and not block.own("default") and not assigned:
                yield Spot(block, f"the map of ${name} has no default")


RULE: Final = LintRule(
    id="switch-without-default",
    title="The variable of the switch always has a value",
    severity=Severity.ERROR,
    reason="if no case matches, the variable is empty and nginx answers 500",
    remedy="write set $slot blue; in front of the if, or default in the map",
    find=_find,
)
