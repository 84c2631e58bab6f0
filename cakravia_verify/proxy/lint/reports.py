"""The findings as text, JSON and SARIF 2.1.0."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.parse import quote

from cakravia_verify import __version__
from cakravia_verify.proxy.lint.linting import IGNORE_COMMENT
from cakravia_verify.proxy.lint.model import LintFinding
from cakravia_verify.proxy.lint.registry import RULES

WIDTH: Final = 110
SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def text_lines(findings: Sequence[LintFinding], unread: Sequence[str]) -> Iterator[str]:
    """Yield the lines for a terminal."""
    explained: set[str] = set()
    for each in findings:
        if each.ignored:
            continue
        yield f"{each.file}:{each.line}: {each.severity}: {each.rule}"
        yield from _wrapped("", each.found)
        if each.rule not in explained:
            yield from _wrapped("why: ", each.reason)
            yield from _wrapped("-> ", f"{each.remedy} ({each.section})" if each.section else each.remedy)
        explained.add(each.rule)
    for line in unread:
        yield f"not read: {line}"
    yield summary(findings)


def summary(findings: Sequence[LintFinding]) -> str:
    """Return one line with the numbers of findings."""
    bad = [each for each in findings if each.counts]
    ignored = sum(bool(each.ignored) for each in findings)
    notes = len(findings) - len(bad) - ignored
    beside = "".join(
        f", {number} {name}" for number, name in ((ignored, "ignored"), (notes, "of another linter")) if number
    )
    if not bad:
        return f"{len(RULES)} rules: nothing found{beside}"
    broken = len({each.rule for each in bad})
    return f"{len(RULES)} rules: {broken} broken, {len(bad)} findings{beside}"


def as_json(findings: Sequence[LintFinding], unread: Sequence[str]) -> dict[str, Any]:
    rows = [{**asdict(each), "severity": str(each.severity)} for each in findings]
    is_ok = not any(each.counts for each in findings)
    return {"is_ok": is_ok, "rules": len(RULES), "findings": rows, "unread": list(unread)}


def as_sarif(findings: Sequence[LintFinding]) -> dict[str, Any]:
    """Return a SARIF log with one run. An ignored finding is a suppressed result with the reason."""
    rules = [
        {
            "id": rule.id,
            "shortDescription": {"text": rule.title},
            "fullDescription": {"text": rule.reason},
            "help": {"text": f"{rule.remedy} ({rule.section})"},
            "defaultConfiguration": {"level": str(rule.severity)},
        }
        for rule in (*RULES, IGNORE_COMMENT)
    ]
    driver = {"name": "cakravia lint", "version": __version__, "rules": rules}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(each) for each in findings],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _result(finding: LintFinding) -> dict[str, Any]:
    place = {
        "artifactLocation": {"uri": _uri(finding.file)},
        "region": {"startLine": max(1, finding.line)},
    }
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "level": str(finding.severity),
        "message": {"text": f"{finding.found}. {finding.reason}. Remedy: {finding.remedy}"},
        "locations": [{"physicalLocation": place}],
    }
    if finding.ignored:
        result["suppressions"] = [{"kind": "inSource", "justification": finding.ignored}]
    return result


def _uri(file: str) -> str:
    """Return a file's name as a reference: relative as given, or below the present folder, or absolute."""
    path = PurePosixPath(file)
    if path.is_absolute() and path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    return f"file://{quote(str(path))}" if path.is_absolute() else quote(str(path))


def _wrapped(label: str, text: str) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=f"    {label}",
        subsequent_indent=" " * (4 + len(label)),
        break_long_words=False,
        break_on_hyphens=False,
    )
