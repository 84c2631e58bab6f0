"""The log says which slot answered which request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.proxy.lint.directives import Directive, NginxTree
from cakravia_verify.proxy.lint.model import LintFacts, LintRule, Severity, Spot
from cakravia_verify.proxy.lint.pools import proxied
from cakravia_verify.proxy.lint.values import variables_in


def _find(tree: NginxTree, facts: LintFacts) -> Iterator[Spot]:
    http = next(tree.root.all("http"), None)
    if http is None:
        return
    formats = {each.first: each.value for each in tree.root.all("log_format")}
    for block, passing in proxied(tree):
        logs = block.effective("access_log")
        if any(_tells(formats.get(_format_of(each), "")) for each in logs):
            continue
        named = f"access_log {logs[-1].value}" if logs else "no access_log: the format combined"
        yield Spot(logs[-1] if logs else passing, f"{named} names neither slot nor request")


def _format_of(log: Directive) -> str:
    return log.arguments[1] if len(log.arguments) > 1 and "=" not in log.arguments[1] else "combined"


def _tells(text: str) -> bool:
    names = set(variables_in(text))
    tells_slot = any(name.startswith("upstream_") or "slot" in name for name in names)
    return tells_slot and any("request_id" in name or "trace" in name for name in names)


RULE: Final = LintRule(
    id="log-without-upstream",
    title="The log says which slot answered which request",
    severity=Severity.WARNING,
    reason="after a bad answer no log says which version gave it",
    remedy="put $upstream_addr, $upstream_status and $request_id into log_format",
    find=_find,
)
