"""Requests that change something are not answered from a cache."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.proxy.lint.directives import NginxTree
from cakravia_verify.proxy.lint.model import LintFacts, LintRule, Severity, Spot


def _find(tree: NginxTree, facts: LintFacts) -> Iterator[Spot]:
    for each in tree.root.all("proxy_cache_methods", "fastcgi_cache_methods", "uwsgi_cache_methods"):
        if "POST" in each.arguments:
            yield Spot(each, f"{each.name} {each.value}")


RULE: Final = LintRule(
    id="cache-of-changes",
    title="Requests that change something are not answered from a cache",
    severity=Severity.ERROR,
    reason="the second POST is answered by the cache: the application never gets it",
    remedy="remove POST from proxy_cache_methods",
    find=_find,
)
