"""One failure does not close a slot for ten seconds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.proxy.lint.directives import NginxTree
from cakravia_verify.proxy.lint.model import LintFacts, LintRule, Severity, Spot
from cakravia_verify.proxy.lint.pools import has_another, servers, upstreams


def _find(tree: NginxTree, facts: LintFacts) -> Iterator[Spot]:
    for pool in upstreams(tree).values():
        if not has_another(pool) or (len(servers(pool)) > 2 and not pool.own("server")[-1].value.endswith("backup")):
            continue
        for each in servers(pool):
            if not any(word.startswith("max_fails=") for word in each.arguments):
                yield Spot(each, f"server {each.first} of upstream {pool.first} has no max_fails")


RULE: Final = LintRule(
    id="max-fails-default",
    title="One failure does not close a slot for ten seconds",
    severity=Severity.ERROR,
    reason=(
        "with the default max_fails=1 one broken connection takes a slot out for 10 s; when both are out, "
        "nginx answers 502 without asking either"
    ),
    remedy="write max_fails=0 behind each server of two slots",
    find=_find,
)
