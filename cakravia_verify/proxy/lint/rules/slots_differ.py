"""The two slots' pools differ in the address alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.proxy.lint.directives import Directive, NginxTree
from cakravia_verify.proxy.lint.model import LintFacts, LintRule, Severity, Spot
from cakravia_verify.proxy.lint.pools import slot_pools


def _find(tree: NginxTree, facts: LintFacts) -> Iterator[Spot]:
    for pair in slot_pools(tree):
        first, second = (_parameters(pool, pair.names) for pool in (pair.first, pair.second))
        differing = sorted(first ^ second)
        if differing:
            yield Spot(pair.second, f"{pair.names[0]} and {pair.names[1]} differ in: {'; '.join(differing)}")


def _parameters(pool: Directive, names: tuple[str, str]) -> set[str]:
    """Return what an upstream says, without addresses and names of its own."""
    own = {
        " ".join([each.name, *(word for word in each.arguments if not any(name in word for name in names))])
        for each in pool.inner
        if each.name not in ("server", "zone")
    }
    return own | {" ".join(["server", *sorted(each.arguments[1:])]) for each in pool.own("server")}


RULE: Final = LintRule(
    id="slots-differ",
    title="The two slots' pools differ in the address alone",
    severity=Severity.ERROR,
    reason=(
        "the proxy treats the versions differently: what a release measured on one slot does not hold on the other"
    ),
    remedy="write the same parameters in both",
    find=_find,
)
