"""The rules of `cakravia lint` on the configuration that the settings make."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.checks.model import CheckFinding, Ground, SiteCheck, ok, problem, warning
from cakravia_verify.proxy.lint.linting import lint
from cakravia_verify.proxy.lint.model import Severity
from cakravia_verify.proxy.lint.parsing import parse_text
from cakravia_verify.proxy.lint.registry import RULES
from cakravia_verify.proxy.lint.reports import summary

# The prerequisite "open files" knows how many connections this machine permits.
_CHECKED_ELSEWHERE: Final = "connections-few"


def _find(ground: Ground) -> Iterator[CheckFinding]:
    wanted = ground.site.proxy.configuration_state().wanted
    if not wanted:
        yield ok("the proxy was never started here")
        return
    rules = [rule for rule in RULES if rule.id != _CHECKED_ELSEWHERE]
    findings = lint(parse_text(wanted, name="nginx.conf"), rules=rules)
    for each in findings:
        if each.counts:
            grade = problem if each.severity is Severity.ERROR else warning
            yield grade(
                f"nginx.conf, line {each.line}: {each.rule}: {each.found}",
                needed=each.reason,
                remedy=f"{each.remedy} ({each.section})",
            )
    yield ok(summary(findings))


CHECK: Final = SiteCheck("rules", "The configuration loses, doubles and hides no request", _find)
