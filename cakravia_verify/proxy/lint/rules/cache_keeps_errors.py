"""Errors are not cached."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.proxy.lint.directives import NginxTree
from cakravia_verify.proxy.lint.model import LintFacts, LintRule, Severity, Spot


def _find(tree: NginxTree, facts: LintFacts) -> Iterator[Spot]:
    for each in tree.root.all("proxy_cache_valid", "fastcgi_cache_valid", "uwsgi_cache_valid"):
        kept = [word for word in each.arguments[:-1] if word == "any" or (word.startswith("5") and len(word) == 3)]
        if kept:
            yield Spot(each, f"{each.name} {each.value}")


RULE: Final = LintRule(
    id="cache-keeps-errors",
    title="Errors are not cached",
    severity=Severity.ERROR,
    reason="users get the error from the cache after the slot is well again",
    remedy="name good statuses alone, as proxy_cache_valid 200 301 10m;",
    find=_find,
)
