"""A reload keeps idle connections of clients open for a moment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.proxy.lint.directives import NginxTree
from cakravia_verify.proxy.lint.model import LintFacts, LintRule, Severity, Spot
from cakravia_verify.proxy.lint.pools import is_switched_without_reload, proxied
from cakravia_verify.proxy.lint.values import seconds_of


def _find(tree: NginxTree, facts: LintFacts) -> Iterator[Spot]:
    http = next(tree.root.all("http"), None)
    if http is None or is_switched_without_reload(tree) or next(proxied(tree), None) is None:
        return
    timeout = http.own("keepalive_timeout")
    if timeout and seconds_of(timeout[-1].first) == 0:
        return
    least = next(tree.root.all("keepalive_min_timeout"), None)
    if facts.nginx is not None and facts.nginx < (1, 27, 4):
        version = ".".join(map(str, facts.nginx))
        yield Spot(http, f"nginx {version} has no keepalive_min_timeout, and this site is switched by a reload")
    elif least is None or seconds_of(least.first) == 0:
        yield Spot(least or http, "keepalive_min_timeout is not set, and this site is switched by a reload")


RULE: Final = LintRule(
    id="reload-drops-idle",
    title="A reload keeps idle connections of clients open for a moment",
    severity=Severity.ERROR,
    reason=(
        "a worker that is told to quit closes idle connections at once: a request on its way meets a closed "
        "socket (21 lost per reload at 20 ms round trip)"
    ),
    remedy="write keepalive_min_timeout 5s; (nginx 1.27.4 or newer), or switch without a reload",
    find=_find,
)
