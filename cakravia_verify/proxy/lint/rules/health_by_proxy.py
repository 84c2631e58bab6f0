"""The application answers its health check."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from cakravia_verify.proxy.lint.directives import NginxTree
from cakravia_verify.proxy.lint.model import LintFacts, LintRule, Severity, Spot
from cakravia_verify.proxy.lint.pools import PASSES, proxied

HEALTH: Final = re.compile(
    r"^\^?/?(\w+/)*(healthz?|health[_-]?check|ready|readyz|readiness|live|livez|liveness|ping|up)/?\$?$", re.IGNORECASE
)


def _find(tree: NginxTree, facts: LintFacts) -> Iterator[Spot]:
    if next(proxied(tree), None) is None:
        return
    for each in tree.root.all("location"):
        if HEALTH.match(each.last) and not each.own(*PASSES):
            for answer in each.own("return", "try_files", "empty_gif"):
                if answer.name != "return" or answer.first.startswith("2") or not answer.first.isdigit():
                    yield Spot(answer, f"location {each.value} is answered by nginx: {answer.name} {answer.value}")


RULE: Final = LintRule(
    id="health-by-proxy",
    title="The application answers its health check",
    severity=Severity.ERROR,
    reason="nginx says that it is well, also when the slot behind it is dead",
    remedy=("pass it on with proxy_pass like other requests; give nginx's own check another path, as /nginx-health"),
    find=_find,
)
