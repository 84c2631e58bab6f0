"""Event streams are not compressed by the proxy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.proxy.lint.directives import NginxTree
from cakravia_verify.proxy.lint.model import LintFacts, LintRule, Severity, Spot
from cakravia_verify.proxy.lint.pools import proxied

STREAMS: Final = {"text/event-stream", "*"}


def _find(tree: NginxTree, facts: LintFacts) -> Iterator[Spot]:
    for block, _ in proxied(tree):
        # Without buffering nginx ends a block of gzip with each part that it reads.
        if block.setting("gzip") != "on" or block.setting("proxy_buffering") == "off":
            continue
        for each in block.effective("gzip_types"):
            if STREAMS & set(each.arguments):
                yield Spot(each, f"gzip_types {each.value}, with proxy_buffering")


RULE: Final = LintRule(
    id="stream-gzip",
    title="Event streams are not compressed by the proxy",
    severity=Severity.ERROR,
    reason="gzip keeps events until a block is full: users see them late, or never",
    remedy="remove text/event-stream and * from gzip_types, or write proxy_buffering off;",
    find=_find,
)
