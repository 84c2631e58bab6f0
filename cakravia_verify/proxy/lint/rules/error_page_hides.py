"""An error of a slot stays an error."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.proxy.lint.directives import NginxTree
from cakravia_verify.proxy.lint.model import LintFacts, LintRule, Severity, Spot
from cakravia_verify.proxy.lint.pools import PASSES, is_internal


def _find(tree: NginxTree, facts: LintFacts) -> Iterator[Spot]:
    for each in tree.root.all("error_page"):
        block = each.outer
        codes = [word for word in each.arguments if word.isdigit() and word.startswith("5")]
        changed = next((word for word in each.arguments if word.startswith("=")), None)
        if not codes or changed is None or (block is not None and is_internal(block)):
            continue
        if changed[1:2] in ("2", "3") or (changed == "=" and not _is_passed_on(tree, each.last)):
            yield Spot(each, f"error_page {each.value}")


def _is_passed_on(tree: NginxTree, target: str) -> bool:
    """Whether the location of the page says itself which status it has: an error, or that of another server."""
    for each in tree.root.all("location"):
        if each.arguments[-1:] == (target,):
            codes = [answer.first for answer in each.own("return")]
            return bool(each.own(*PASSES)) or any(code[:1] in ("4", "5") for code in codes)
    return False


RULE: Final = LintRule(
    id="error-page-hides",
    title="An error of a slot stays an error",
    severity=Severity.ERROR,
    reason=("the status becomes that of a good answer: a dead slot looks healthy to clients, monitors and the release"),
    remedy="write error_page 502 503 504 /50x.html; without =",
    find=_find,
)
