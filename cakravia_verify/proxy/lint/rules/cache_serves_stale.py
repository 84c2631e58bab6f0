"""A cache does not answer for a dead slot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.proxy.lint.directives import NginxTree
from cakravia_verify.proxy.lint.model import LintFacts, LintRule, Severity, Spot

ALLOWED: Final = {"off", "updating"}


def _find(tree: NginxTree, facts: LintFacts) -> Iterator[Spot]:
    for each in tree.root.all("proxy_cache_use_stale", "fastcgi_cache_use_stale", "uwsgi_cache_use_stale"):
        hiding = [word for word in each.arguments if word not in ALLOWED]
        if hiding:
            yield Spot(each, f"{each.name} {' '.join(hiding)}")


RULE: Final = LintRule(
    id="cache-serves-stale",
    title="A cache does not answer for a dead slot",
    severity=Severity.ERROR,
    reason="old answers hide that the slot fails, from users who need it and from the release",
    remedy="write proxy_cache_use_stale updating; or off",
    find=_find,
)
