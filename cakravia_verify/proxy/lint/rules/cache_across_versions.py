"""A cache keeps the answers of each version apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.proxy.lint.directives import NginxTree
from cakravia_verify.proxy.lint.model import LintFacts, LintRule, Severity, Spot
from cakravia_verify.proxy.lint.paths import is_asset
from cakravia_verify.proxy.lint.pools import path_of, proxied, switch_variables
from cakravia_verify.proxy.lint.values import seconds_of, variables_in

SHORT: Final = 5.0
TELLING: Final = ("slot", "version", "release", "colour", "color", "upstream")


def _find(tree: NginxTree, facts: LintFacts) -> Iterator[Spot]:
    variables = switch_variables(tree)
    for block, _ in proxied(tree):
        cache = block.effective("proxy_cache")
        if not cache or cache[-1].first == "off" or is_asset(path_of(block)):
            continue
        key = block.setting("proxy_cache_key") or "$scheme$proxy_host$request_uri"
        named = variables_in(key)
        if variables & set(named) or any(word in name for name in named for word in TELLING):
            continue
        times = [seconds_of(each.last) or 0.0 for each in block.effective("proxy_cache_valid")]
        if times and max(times) <= SHORT:
            continue
        yield Spot(cache[-1], f"proxy_cache_key {key} is the same for both versions")


RULE: Final = LintRule(
    id="cache-across-versions",
    title="A cache keeps the answers of each version apart",
    severity=Severity.ERROR,
    reason="after the switch users get pages of the old version from the cache, and the release measures them",
    remedy="put the variable of the switch into proxy_cache_key, or cache hashed files alone",
    find=_find,
)
