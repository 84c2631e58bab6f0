"""Requests that change something are not mirrored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.proxy.lint.directives import NginxTree
from cakravia_verify.proxy.lint.model import LintFacts, LintRule, Severity, Spot


def _find(tree: NginxTree, facts: LintFacts) -> Iterator[Spot]:
    for each in tree.root.all("mirror"):
        if each.first != "off" and not _lets_safe_methods_pass_alone(tree, each.first):
            yield Spot(each, f"mirror {each.first} gets every method")


def _lets_safe_methods_pass_alone(tree: NginxTree, path: str) -> bool:
    targets = [each for each in tree.root.all("location") if each.arguments[-1:] == (path,)]
    return any(
        "request_method" in test.value and test.own("return") for target in targets for test in target.own("if")
    ) or any(target.own("limit_except") for target in targets)


RULE: Final = LintRule(
    id="mirror-doubles",
    title="Requests that change something are not mirrored",
    severity=Severity.ERROR,
    reason="the mirror gets a copy of each POST: with one database for both slots everything is done twice",
    remedy=(
        "remove mirror, or return 204 for all but GET and HEAD in the mirror's location: if ($request_method "
        "!~ GET|HEAD)"
    ),
    find=_find,
)
