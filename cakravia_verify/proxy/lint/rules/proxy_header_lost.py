"""A location passes on the headers that the server passes on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.proxy.lint.directives import NginxTree
from cakravia_verify.proxy.lint.model import LintFacts, LintRule, Severity, Spot
from cakravia_verify.proxy.lint.pools import proxied


def _find(tree: NginxTree, facts: LintFacts) -> Iterator[Spot]:
    for block, _ in proxied(tree):
        lost = block.removed("proxy_set_header")
        if lost and block.setting("proxy_pass_request_headers") != "off":
            yield Spot(block.own("proxy_set_header")[0], f"this location does not pass on {', '.join(sorted(lost))}")


RULE: Final = LintRule(
    id="proxy-header-lost",
    title="A location passes on the headers that the server passes on",
    severity=Severity.ERROR,
    reason=(
        "one proxy_set_header in a location removes all that stand outside of it: the application loses Host, "
        "the client's address or the request's id"
    ),
    remedy="repeat them in the location",
    find=_find,
)
