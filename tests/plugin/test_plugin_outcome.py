"""What a session leaves: the verdict counts, and what is told of it elsewhere changes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cakravia_verify.gate.model import Exit
from cakravia_verify.plugin.report_hooks import write_outcome
from cakravia_verify.report.verdict.file import read_verdict
from cakravia_verify.runs.session_run import SessionOutcome
from tests.report import samples


def outcome(**changes: object) -> SessionOutcome:
    document = replace(samples.promoted(), **changes)  # type: ignore[arg-type]
    return SessionOutcome(Exit.PROMOTED, document.verdict, document)


def left(tmp_path: Path, given: SessionOutcome, told: list[str]) -> SessionOutcome:
    folder = tmp_path / "reports" / "one"
    folder.mkdir(parents=True)
    return write_outcome(given, folder, reports=tmp_path / "reports", on_trouble=told.append)


def test_job_summary_that_cannot_be_written_is_told_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "nowhere" / "summary.md"))
    told: list[str] = []
    assert left(tmp_path, outcome(), told).exit is Exit.PROMOTED
    assert read_verdict(tmp_path / "reports" / "latest").outcome == "promoted"
    assert len(told) == 1
    assert "job summary" in told[0]
    assert "No such file or directory" in told[0]


def test_job_summary_is_added_to_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    told: list[str] = []
    left(tmp_path, outcome(reason="caf\udce9"), told)
    assert told == []
    assert summary.read_text().startswith("before\n## ")
