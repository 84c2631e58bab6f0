"""Browsers ask for pages again after a release."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from cakravia_verify.proxy.lint.directives import NginxTree
from cakravia_verify.proxy.lint.model import LintFacts, LintRule, Severity, Spot
from cakravia_verify.proxy.lint.paths import is_asset
from cakravia_verify.proxy.lint.pools import path_of, proxied
from cakravia_verify.proxy.lint.values import seconds_of

LONGEST: Final = 3600.0


def _find(tree: NginxTree, facts: LintFacts) -> Iterator[Spot]:
    for block, _ in proxied(tree):
        if is_asset(path_of(block)):
            continue
        for each in block.effective("expires"):
            if each.first == "max" or (seconds_of(each.last) or 0) > LONGEST:
                yield Spot(each, f"expires {each.value} for pages")
        for each in block.effective("add_header"):
            if each.first.lower() == "cache-control" and len(each.arguments) > 1:
                age = re.search(r"max-age=([0-9]+)", each.arguments[1])
                if "immutable" in each.arguments[1] or (age and int(age[1]) > LONGEST):
                    yield Spot(each, f"Cache-Control {each.arguments[1]} for pages")


RULE: Final = LintRule(
    id="page-expires-late",
    title="Browsers ask for pages again after a release",
    severity=Severity.ERROR,
    reason="browsers keep the page of the old version, and ask the new one for files that it does not have",
    remedy="write expires for hashed files alone; pages: Cache-Control no-cache",
    find=_find,
)
