"""The application gets the name that users typed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.proxy.lint.directives import NginxTree
from cakravia_verify.proxy.lint.model import LintFacts, LintRule, Severity, Spot
from cakravia_verify.proxy.lint.pools import host_of, proxied
from cakravia_verify.proxy.lint.values import is_address


def _find(tree: NginxTree, facts: LintFacts) -> Iterator[Spot]:
    for block, passing in proxied(tree):
        names = {each.first.lower() for each in block.effective("proxy_set_header")}
        host = host_of(passing.first).partition(":")[0]
        is_foreign = "." in host and not is_address(host) and "$" not in host
        if "host" not in names and not is_foreign:
            yield Spot(passing, f"proxy_pass {passing.first} without a Host: the application sees $proxy_host")


RULE: Final = LintRule(
    id="host-not-passed",
    title="The application gets the name that users typed",
    severity=Severity.ERROR,
    reason=("the application sees the name of the pool, another one for each slot: its redirects and cookies name it"),
    remedy="write proxy_set_header Host $host;",
    find=_find,
)
