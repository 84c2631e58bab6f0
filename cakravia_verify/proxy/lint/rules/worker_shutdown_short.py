"""Old workers live longer than the longest answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.proxy.lint.directives import NginxTree
from cakravia_verify.proxy.lint.model import LintFacts, LintRule, Severity, Spot
from cakravia_verify.proxy.lint.pools import proxied, read_timeout
from cakravia_verify.proxy.lint.values import seconds_of


def _find(tree: NginxTree, facts: LintFacts) -> Iterator[Spot]:
    for each in tree.root.all("worker_shutdown_timeout"):
        limit = seconds_of(each.first)
        longest = max((read_timeout(block) for block, _ in proxied(tree)), default=0.0)
        if limit is not None and limit < longest:
            yield Spot(each, f"worker_shutdown_timeout {each.first} is below proxy_read_timeout {longest:g}s")


RULE: Final = LintRule(
    id="worker-shutdown-short",
    title="Old workers live longer than the longest answer",
    severity=Severity.ERROR,
    reason=("worker_shutdown_timeout ends requests that the old workers still serve: answers are cut at each reload"),
    remedy="raise worker_shutdown_timeout above the longest proxy_read_timeout",
    find=_find,
)
