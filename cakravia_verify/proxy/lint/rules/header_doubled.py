"""An added header does not stand beside the application's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.proxy.lint.directives import NginxTree
from cakravia_verify.proxy.lint.model import LintFacts, LintRule, Severity, Spot
from cakravia_verify.proxy.lint.pools import proxied
from cakravia_verify.proxy.lint.values import variables_in

SINGLE: Final = {
    *("cache-control", "content-security-policy", "content-type", "expires", "etag", "location"),
    *("access-control-allow-origin", "access-control-allow-credentials"),
}


def _find(tree: NginxTree, facts: LintFacts) -> Iterator[Spot]:
    for block, _ in proxied(tree):
        hidden = {each.first.lower() for each in block.effective("proxy_hide_header")}
        for each in block.effective("add_header"):
            name = each.first.lower()
            if name in SINGLE - hidden and len(each.arguments) > 1 and not variables_in(each.arguments[1]):
                yield Spot(each, f"add_header {each.value}")


RULE: Final = LintRule(
    id="header-doubled",
    title="An added header does not stand beside the application's own",
    severity=Severity.ERROR,
    reason=(
        "browsers get two values that contradict each other: two Access-Control-Allow-Origin are refused, two "
        "Cache-Control are mixed"
    ),
    remedy="add the header only if the application has none: a map of $upstream_http_NAME",
    find=_find,
)
