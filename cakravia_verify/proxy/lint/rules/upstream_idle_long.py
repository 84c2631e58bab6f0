"""The proxy closes idle connections before the application does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.proxy.lint.directives import Directive, NginxTree
from cakravia_verify.proxy.lint.model import LintFacts, LintRule, Severity, Spot
from cakravia_verify.proxy.lint.pools import addresses, upstreams
from cakravia_verify.proxy.lint.values import is_loopback, seconds_of

DEFAULT: Final = 60.0


def _find(tree: NginxTree, facts: LintFacts) -> Iterator[Spot]:
    listens = {each.first.rpartition(":")[2] for each in tree.root.all("listen")}
    for pool in upstreams(tree).values():
        if _is_this_nginx(pool, listens):
            continue
        kept = pool.own("keepalive")
        is_default = facts.nginx is not None and facts.nginx >= (1, 29, 7)
        if not (kept and kept[-1].first != "0") and not (is_default and not kept):
            continue
        written = pool.own("keepalive_timeout")
        idle = seconds_of(written[-1].first) if written else DEFAULT
        if idle is not None and idle >= facts.app_idle:
            yield Spot(
                (written or kept or [pool])[-1],
                f"upstream {pool.first} keeps connections {idle:g}s, the application {facts.app_idle:g}s",
            )


def _is_this_nginx(pool: Directive, listens: set[str]) -> bool:
    """Whether the upstream leads to another server block of the same nginx."""
    places = [each.rpartition(":") for each in addresses(pool)]
    return bool(places) and all(is_loopback(host) and port in listens for host, _, port in places)


RULE: Final = LintRule(
    id="upstream-idle-long",
    title="The proxy closes idle connections before the application does",
    severity=Severity.ERROR,
    reason="a POST on a connection that the application closes at that moment is lost: 502",
    remedy="write keepalive_timeout in the upstream, shorter than the application's own (uvicorn, Node: 5 s)",
    find=_find,
)
