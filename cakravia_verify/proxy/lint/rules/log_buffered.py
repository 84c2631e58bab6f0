"""A request is in the log when it has ended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.proxy.lint.directives import NginxTree
from cakravia_verify.proxy.lint.model import LintFacts, LintRule, Severity, Spot
from cakravia_verify.proxy.lint.values import seconds_of

LONGEST: Final = 1.0


def _find(tree: NginxTree, facts: LintFacts) -> Iterator[Spot]:
    for each in tree.root.all("access_log"):
        words = dict(word.partition("=")[::2] for word in each.arguments if "=" in word)
        is_buffered = "buffer" in words or "gzip" in words or "gzip" in each.arguments
        flush = seconds_of(words.get("flush", ""))
        if is_buffered and (flush is None or flush > LONGEST):
            yield Spot(each, f"access_log {each.value}")


RULE: Final = LintRule(
    id="log-buffered",
    title="A request is in the log when it has ended",
    severity=Severity.WARNING,
    reason="requests are missing in the log when the release counts them, and are lost when a worker dies",
    remedy="remove buffer= and gzip= from access_log, or write flush=1s",
    find=_find,
)
