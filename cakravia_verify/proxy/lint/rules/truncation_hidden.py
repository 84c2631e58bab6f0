"""A cut answer is no complete answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.proxy.lint.directives import NginxTree
from cakravia_verify.proxy.lint.model import LintFacts, LintRule, Severity, Spot
from cakravia_verify.proxy.lint.pools import http_version, proxied


def _find(tree: NginxTree, facts: LintFacts) -> Iterator[Spot]:
    for block, passing in proxied(tree):
        if http_version(block, facts.nginx) == "1.0":
            written = block.effective("proxy_http_version")
            yield Spot(written[-1] if written else passing, "requests go to the slot by HTTP/1.0")


RULE: Final = LintRule(
    id="truncation-hidden",
    title="A cut answer is no complete answer",
    severity=Severity.ERROR,
    reason=(
        "with HTTP/1.0 an answer without a length ends when the connection ends: if the slot dies, half a "
        "page looks complete"
    ),
    remedy='write proxy_http_version 1.1; and proxy_set_header Connection "";',
    find=_find,
)
