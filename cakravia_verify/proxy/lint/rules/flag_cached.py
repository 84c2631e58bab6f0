"""The file that makes the switch is looked at anew for each request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.proxy.lint.directives import NginxTree
from cakravia_verify.proxy.lint.model import LintFacts, LintRule, Severity, Spot
from cakravia_verify.proxy.lint.pools import switch_variables


def _find(tree: NginxTree, facts: LintFacts) -> Iterator[Spot]:
    variables = switch_variables(tree)
    for each in tree.root.all("if"):
        if each.first not in ("-f", "!-f", "-e", "!-e", "-d", "!-d"):
            continue
        block = each.outer
        cached = block.setting("open_file_cache") if block is not None else ""
        if cached not in ("", "off") and any(word.first.lstrip("$") in variables for word in each.own("set")):
            yield Spot(each, f"open_file_cache {cached} holds the answer of {each.value}")


RULE: Final = LintRule(
    id="flag-cached",
    title="The file that makes the switch is looked at anew for each request",
    severity=Severity.ERROR,
    reason="open_file_cache remembers whether the file exists: users stay on the old slot after the switch",
    remedy="write open_file_cache off; in this location",
    find=_find,
)
