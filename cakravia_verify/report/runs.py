"""The main figures of past runs, read from their reports: what an index lists and a comparison compares."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cakravia_verify.errors import UsageError
from cakravia_verify.kinds import policy_of
from cakravia_verify.report.document import RunFigures
from cakravia_verify.report.folder import runs_in
from cakravia_verify.report.text.formats import count_in_words, seconds_in_words
from cakravia_verify.report.verdict.file import read_verdict
from cakravia_verify.report.verdict.model import VerdictRecord


@dataclass(frozen=True)
class Difference:
    """One figure of two runs, in words. `change` is empty if the figures are equal or one was not measured."""

    title: str
    first: str
    second: str
    change: str


def figures_in(reports: Path, *, newest: int) -> tuple[RunFigures, ...]:
    """Return the figures of the newest runs of a folder, oldest first. A run without a readable verdict is one too."""
    return tuple(figures_of(folder) for folder in runs_in(reports)[-newest:])


def earlier_releases(reports: Path, *, before: str, newest: int) -> tuple[RunFigures, ...]:
    """Return the figures of the newest releases and rollbacks but the one named `before`, oldest first."""
    with contextlib.suppress(OSError):
        # Loads and checks lie there too. A folder with many of them shows fewer releases.
        folders = [folder for folder in runs_in(reports) if folder.name != before][-3 * newest :]
        read = [figures_of(folder) for folder in folders]
        return tuple(each for each in read if not each.problem and policy_of(each.kind).switches_users)[-newest:]
    return ()


def figures_of(folder: Path) -> RunFigures:
    """Return the figures of one run."""
    try:
        record = read_verdict(folder).raw
    except UsageError as error:
        return RunFigures(folder, problem=error.message)
    return _figures(folder, record)


def _figures(folder: Path, record: VerdictRecord) -> RunFigures:
    measured = record["evidence"]["measured"]
    return RunFigures(
        folder,
        kind=record["kind"],
        version=record["version"],
        decision=str(record["decision"]),
        outcome=record["outcome"],
        started_at=record["started_at"],
        seconds=record["seconds"],
        sent=measured["sent"] if measured else None,
        lost=measured["lost"] if measured else None,
        errors=measured.get("errors") if measured else None,
        p99=measured.get("p99") if measured else None,
        switch_seconds=record["switch"]["seconds"],
    )


def differences(first: RunFigures, second: RunFigures) -> Iterator[Difference]:
    """Yield every figure of two runs, with the change from the first to the second."""
    for title, one, other in (
        ("version", first.version, second.version),
        ("decision", first.decision, second.decision),
        ("outcome", first.outcome, second.outcome),
        ("began", first.started_at, second.started_at),
    ):
        yield Difference(title, one, other, "")
    for title, count, later in (
        ("requests", first.sent, second.sent),
        ("lost", first.lost, second.lost),
        ("errors", first.errors, second.errors),
    ):
        change = f"{later - count:+,}" if count is not None and later is not None and count != later else ""
        yield Difference(title, count_in_words(count), count_in_words(later), change)
    for title, seconds, after in (
        ("p99", first.p99, second.p99),
        ("switch", first.switch_seconds, second.switch_seconds),
        ("duration", first.seconds, second.seconds),
    ):
        yield Difference(title, seconds_in_words(seconds), seconds_in_words(after), _change(seconds, after))


def changed_checks(first: Path, second: Path) -> list[str]:
    """Return one line for each check that came out otherwise in the second run, or was required otherwise.

    Raises UsageError if a verdict cannot be read.
    """
    one, other = ({check.title: check for check in read_verdict(each).checks} for each in (first, second))
    lines = []
    for title in dict.fromkeys((*one, *other)):
        before, after = one.get(title), other.get(title)
        if before is None or after is None:
            lines.append(f"{title}: only in the {'second' if before is None else 'first'} run")
        elif before.standing != after.standing:
            lines.append(f"{title}: {before.standing} ({before.value}), then {after.standing} ({after.value})")
        elif before.threshold != after.threshold:
            lines.append(f"{title}: required was {before.threshold}, then {after.threshold}")
    return lines


def _change(first: float | None, second: float | None) -> str:
    if not first or second is None or first == second:
        return ""
    return f"{(second - first) / first:+.0%}"
