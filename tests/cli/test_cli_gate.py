"""`cakravia gate`: 0 only where the artefact, and all that lies beside it, says that exactly this was promoted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cakravia_verify.cli.main import main
from cakravia_verify.report.sealing import seal
from cakravia_verify.report.verdict.writing import write_verdict
from tests.report import samples

NAMED = ("--version", "v1.2.0", "--digest", samples.NEW_DIGEST)


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """The folder of a release that was promoted."""
    for name in ("requests.csv", "access.log"):
        (tmp_path / name).write_text(name)
    write_verdict(replace(samples.promoted(), files=seal(tmp_path)), tmp_path)
    return tmp_path


def gate(report: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["gate", str(report), *arguments])


def test_promotion_passes(report: Path) -> None:
    for place in (report, report / "verdict.json"):
        done = gate(place, *NAMED, "--release", samples.promoted().release)
        assert done.exit_code == 0, done.output
        assert samples.promoted().release in done.output


def test_digest_that_is_not_named_is_a_usage_error_that_says_where_to_find_it(report: Path) -> None:
    done = gate(report, "--version", "v1.2.0")
    assert done.exit_code == 4
    assert "--digest is missing" in done.output
    assert "cakravia history --json --last 1" in done.output


@pytest.mark.parametrize("name", ["requests.csv", "access.log"])
def test_evidence_that_was_altered_does_not_pass(report: Path, name: str) -> None:
    (report / name).write_text("tampered")
    done = gate(report, *NAMED)
    assert done.exit_code == 10
    assert f"{name}: was changed after the release" in done.output


def test_evidence_that_was_taken_away_does_not_pass(report: Path) -> None:
    (report / "access.log").unlink()
    done = gate(report, *NAMED)
    assert done.exit_code == 10
    assert "access.log: is missing" in done.output


def test_promotion_by_another_release_does_not_pass(report: Path) -> None:
    done = gate(report, *NAMED, "--release", "another")
    assert done.exit_code == 10
    assert "not 'another'" in done.output


def test_verdict_that_contradicts_itself_does_not_pass(report: Path) -> None:
    verdict = json.loads((report / "verdict.json").read_text())
    verdict["evidence"]["interrupted"] = "SIGTERM"
    (report / "verdict.json").write_text(json.dumps(verdict))
    done = gate(report, *NAMED)
    assert done.exit_code == 10
    assert "its evidence leads to INCONCLUSIVE: interrupted: SIGTERM" in done.output


def test_no_verdict_is_a_usage_error(tmp_path: Path) -> None:
    done = gate(tmp_path / "nowhere", *NAMED)
    assert done.exit_code == 4
    assert "cannot be read" in done.output
