"""The head of an answer fits into its buffer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.proxy.lint.directives import NginxTree
from cakravia_verify.proxy.lint.model import LintFacts, LintRule, Severity, Spot
from cakravia_verify.proxy.lint.pools import proxied
from cakravia_verify.proxy.lint.values import bytes_of

LEAST: Final = 8192


def _find(tree: NginxTree, facts: LintFacts) -> Iterator[Spot]:
    for block, passing in proxied(tree):
        written = block.effective("proxy_buffer_size")
        if not written:
            yield Spot(passing, "proxy_buffer_size is not set: one page, 4k")
        elif (bytes_of(written[-1].first) or LEAST) < LEAST:
            yield Spot(written[-1], f"proxy_buffer_size {written[-1].first}")


RULE: Final = LintRule(
    id="header-buffer-small",
    title="The head of an answer fits into its buffer",
    severity=Severity.ERROR,
    reason="an answer with large cookies or headers becomes 502: upstream sent too big header",
    remedy="write proxy_buffer_size 32k; and proxy_busy_buffers_size to match",
    find=_find,
)
