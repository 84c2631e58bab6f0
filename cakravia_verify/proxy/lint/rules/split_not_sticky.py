"""A user stays on one version."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.proxy.lint.directives import NginxTree
from cakravia_verify.proxy.lint.model import LintFacts, LintRule, Severity, Spot
from cakravia_verify.proxy.lint.pools import switch_variables
from cakravia_verify.proxy.lint.values import variables_in

CHANGING: Final = {
    "request_id",
    "msec",
    "connection",
    "connection_requests",
    "request_uri",
    "uri",
    "remote_port",
    "pid",
}


def _find(tree: NginxTree, facts: LintFacts) -> Iterator[Spot]:
    for each in tree.root.all("split_clients"):
        if each.last.lstrip("$") in switch_variables(tree):
            changing = sorted(CHANGING & set(variables_in(each.first)))
            if changing:
                yield Spot(each, f"split_clients by ${', $'.join(changing)}")


RULE: Final = LintRule(
    id="split-not-sticky",
    title="A user stays on one version",
    severity=Severity.ERROR,
    reason="the share of users is drawn anew for each request: one user gets pages of both versions",
    remedy="split by something that stays, as $remote_addr or a cookie",
    find=_find,
)
