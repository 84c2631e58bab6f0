"""Names of slots are resolved while nginx runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from cakravia_verify.proxy.lint.directives import NginxTree
from cakravia_verify.proxy.lint.model import LintFacts, LintRule, Severity, Spot
from cakravia_verify.proxy.lint.pools import host_of, servers, upstreams
from cakravia_verify.proxy.lint.values import is_address


def _find(tree: NginxTree, facts: LintFacts) -> Iterator[Spot]:
    pools = upstreams(tree)
    for each in tree.root.all("proxy_pass"):
        host = host_of(each.first)
        if host not in pools and _is_fixed_name(host):
            yield Spot(each, f"proxy_pass {each.first}: its address is that of the start")
    for pool in pools.values():
        for each in servers(pool):
            if "resolve" not in each.arguments and _is_fixed_name(each.first):
                yield Spot(each, f"server {each.first}: its address is that of the start")


def _is_fixed_name(host: str) -> bool:
    name = host.rpartition(":")[0] if re.search(r":[0-9]+$", host) else host
    is_name = not host.startswith(("unix:", "[")) and "$" not in host and not is_address(name)
    return is_name and name not in ("localhost", "")


RULE: Final = LintRule(
    id="name-at-start",
    title="Names of slots are resolved while nginx runs",
    severity=Severity.ERROR,
    reason=(
        "nginx asks for the address once, when it starts: a slot that comes back with another address is not found"
    ),
    remedy=(
        "write an address; or resolver and a variable in proxy_pass, or server NAME resolve; (nginx 1.27.3 or newer)"
    ),
    find=_find,
)
