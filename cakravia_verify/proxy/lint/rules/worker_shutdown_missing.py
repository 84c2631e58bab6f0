"""Old workers end some time after a reload."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.proxy.lint.directives import NginxTree
from cakravia_verify.proxy.lint.model import LintFacts, LintRule, Severity, Spot
from cakravia_verify.proxy.lint.paths import is_stream
from cakravia_verify.proxy.lint.pools import is_switched_without_reload, path_of, proxied


def _find(tree: NginxTree, facts: LintFacts) -> Iterator[Spot]:
    http = next(tree.root.all("http"), None)
    if http is None or is_switched_without_reload(tree) or any(tree.root.all("worker_shutdown_timeout")):
        return
    for block, passing in proxied(tree):
        names = {each.first.lower() for each in block.effective("proxy_set_header")}
        if "upgrade" in names or is_stream(path_of(block)):
            yield Spot(passing, "streams pass here, a reload makes the switch, and worker_shutdown_timeout is not set")
            return


RULE: Final = LintRule(
    id="worker-shutdown-missing",
    title="Old workers end some time after a reload",
    severity=Severity.WARNING,
    reason=("streams keep the old workers, their old configuration and the old version alive for as long as they last"),
    remedy="write worker_shutdown_timeout, longer than the longest answer that is no stream",
    find=_find,
)
