"""A worker has connections and files for a switch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.proxy.lint.directives import NginxTree
from cakravia_verify.proxy.lint.model import LintFacts, LintRule, Severity, Spot

LEAST: Final = 1024


def _find(tree: NginxTree, facts: LintFacts) -> Iterator[Spot]:
    events = next(tree.root.all("events"), None)
    if events is None:
        return
    written = events.own("worker_connections")
    number = int(written[-1].first) if written and written[-1].first.isdigit() else 512
    if number < LEAST:
        yield Spot(written[-1] if written else events, f"worker_connections {number}")
    for each in tree.root.own("worker_rlimit_nofile"):
        if each.first.isdigit() and int(each.first) < number:
            yield Spot(each, f"worker_rlimit_nofile {each.first} is below worker_connections {number}")


RULE: Final = LintRule(
    id="connections-few",
    title="A worker has connections and files for a switch",
    severity=Severity.ERROR,
    reason=(
        "a request needs two connections, and at a switch both slots are busy: nginx closes connections of "
        "users without an answer"
    ),
    remedy="write worker_connections 4096; and worker_rlimit_nofile, one and a half times as much",
    find=_find,
)
