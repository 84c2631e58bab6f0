"""Every location goes through the switch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.proxy.lint.directives import Directive, NginxTree
from cakravia_verify.proxy.lint.model import LintFacts, LintRule, Severity, Spot
from cakravia_verify.proxy.lint.pools import addresses, host_of, proxied, switch_variables, upstreams, values_of


def _find(tree: NginxTree, facts: LintFacts) -> Iterator[Spot]:
    variables = switch_variables(tree)
    chosen = {value for name in variables for value in values_of(name, tree)}
    pools = {name: pool for name, pool in upstreams(tree).items() if name in chosen}
    fixed = {*chosen, *(address for pool in pools.values() for address in addresses(pool))} - {""}
    if len(chosen) < 2:
        return
    for block, passing in proxied(tree):
        host = host_of(passing.first)
        if host in fixed and not _chooses_itself(block, variables) and not _is_closed(block):
            yield Spot(passing, f"proxy_pass {passing.first} names one slot")


def _chooses_itself(block: Directive, variables: set[str]) -> bool:
    return any(each.first.lstrip("$") in variables for each in block.own("set")) or block.name == "if"


def _is_closed(block: Directive) -> bool:
    return bool(block.own("allow", "deny", "auth_basic", "auth_request"))


RULE: Final = LintRule(
    id="slot-fixed",
    title="Every location goes through the switch",
    severity=Severity.ERROR,
    reason="this location stays on one slot: after the switch it is answered by the old version, or by nothing",
    remedy="pass it to the variable of the switch like the others",
    find=_find,
)
