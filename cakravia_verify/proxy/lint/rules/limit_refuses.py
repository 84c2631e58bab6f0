"""Limits let the release's own traffic pass."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from cakravia_verify.proxy.lint.directives import Directive, NginxTree
from cakravia_verify.proxy.lint.model import MEASURING_CONNECTIONS, MEASURING_RATE, LintFacts, LintRule, Severity, Spot
from cakravia_verify.proxy.lint.pools import path_of, proxied, values_of
from cakravia_verify.proxy.lint.values import variables_in


def _find(tree: NginxTree, facts: LintFacts) -> Iterator[Spot]:
    zones = dict(_zones(tree))
    for block, _ in proxied(tree):
        if path_of(block) not in ("", "/") or block.setting("limit_req_dry_run") == "on":
            continue
        for each in block.effective("limit_req"):
            zone = zones.get(each.first.removeprefix("zone="))
            if zone is not None and _rate(zone) < MEASURING_RATE and not _has_exceptions(tree, zone):
                yield Spot(each, f"limit_req {each.first} lets {_rate(zone):g} requests a second pass")
        for each in block.effective("limit_conn"):
            zone = zones.get(each.first)
            number = each.last
            if zone is None or not number.isdigit() or _has_exceptions(tree, zone):
                continue
            if int(number) < MEASURING_CONNECTIONS:
                yield Spot(each, f"limit_conn lets {number} connections pass")


def _zones(tree: NginxTree) -> Iterator[tuple[str, Directive]]:
    for each in tree.root.all("limit_req_zone", "limit_conn_zone"):
        for word in each.arguments:
            if word.startswith("zone="):
                yield word.removeprefix("zone=").partition(":")[0], each


def _rate(zone: Directive) -> float:
    found = re.search(r"rate=([0-9]+)r/([sm])", zone.value)
    return float("inf") if found is None else int(found[1]) / (1 if found[2] == "s" else 60)


def _has_exceptions(tree: NginxTree, zone: Directive) -> bool:
    """Whether the key is empty for some clients: a variable of a map or geo with an empty value."""
    return any("" in values_of(name, tree) for name in variables_in(zone.first))


RULE: Final = LintRule(
    id="limit-refuses",
    title="Limits let the release's own traffic pass",
    severity=Severity.ERROR,
    reason=(
        "the client that measures the release sends many requests from one address: nginx refuses them, and "
        "the release fails or proves nothing"
    ),
    remedy="give it an empty key: a geo or map of $remote_addr",
    find=_find,
)
