"""`cakravia gate`: 0 only where the artefact, and all that lies beside it, says that exactly this was promoted."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cakravia_verify.cli.main import main
from cakravia_verify.report.sealing import seal
from cakravia_verify.report.verdict.writing import write_verdict
from tests.report import samples

FILES = ("report.html", "junit.xml", "requests.csv", "ledger.json", "access.log", "ledger/part-0000.parquet")
NAMED = ("--version", "v1.2.0", "--digest", samples.NEW_DIGEST)


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """The folder of a release that was promoted."""
    return left_in(tmp_path / samples.promoted().release)


def left_in(folder: Path, **facts: Any) -> Path:
    (folder / "ledger").mkdir(parents=True)
    for name in FILES:
        (folder / name).write_text(name)
    write_verdict(replace(samples.promoted(), files=seal(folder), **facts), folder)
    return folder


def bind(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(place))  # the whole path may be too long for a socket


def rewrite(report: Path, **changes: Any) -> None:
    verdict = json.loads((report / "verdict.json").read_text())
    (report / "verdict.json").write_text(json.dumps(verdict | changes))


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


@pytest.mark.parametrize("name", FILES)
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


@pytest.mark.parametrize("name", FILES)
def test_list_that_lacks_one_file_does_not_pass(report: Path, name: str) -> None:
    rewrite(report, files={other: digest for other, digest in seal(report).items() if other != name})
    done = gate(report, *NAMED)
    assert done.exit_code == 10
    assert f"{name}: is not in the list of sealed files" in done.output


@pytest.mark.parametrize("name", ["report.html", "junit.xml", "requests.csv", "ledger.json"])
def test_file_that_is_gone_from_folder_and_list_does_not_pass(report: Path, name: str) -> None:
    (report / name).unlink()
    rewrite(report, files=seal(report))
    done = gate(report, *NAMED)
    assert done.exit_code == 10
    assert f"{name}: is not in the list of sealed files" in done.output


def test_empty_list_in_an_empty_folder_does_not_pass(report: Path) -> None:
    for name in FILES:
        (report / name).unlink()
    rewrite(report, files={})
    assert gate(report, *NAMED).exit_code == 10


def test_file_that_was_added_does_not_pass(report: Path) -> None:
    (report / "ledger" / "verdict.json").write_text("{}")
    done = gate(report, *NAMED)
    assert done.exit_code == 10
    assert "ledger/verdict.json: is not in the list of sealed files" in done.output


@pytest.mark.parametrize(
    ("oddity", "make"),
    [
        ("a link", lambda place: place.symlink_to("/dev/zero")),
        ("a link", lambda place: place.symlink_to(place.parent / "access.log")),
        ("a FIFO", os.mkfifo),
        ("a socket", bind),
    ],
    ids=["device", "file", "fifo", "socket"],
)
@pytest.mark.parametrize("name", ["junit.xml", "verdict.json"])
def test_what_is_no_regular_file_is_refused_in_words(
    report: Path, monkeypatch: pytest.MonkeyPatch, name: str, oddity: str, make: Callable[[Path], object]
) -> None:
    monkeypatch.chdir(report)
    (report / name).unlink()
    make(report / name)
    done = gate(report, *NAMED)
    assert done.exit_code == (4 if name == "verdict.json" else 10)
    assert f"is {oddity}, and no " in done.output


def test_folder_that_is_a_link_is_refused_in_words(report: Path) -> None:
    (report / "ledger").rename(report.parent / "elsewhere")
    (report / "ledger").symlink_to(report.parent / "elsewhere")
    done = gate(report, *NAMED)
    assert done.exit_code == 10
    assert "ledger: is a link" in done.output
    assert "ledger/part-0000.parquet: is missing" in done.output


@pytest.mark.parametrize("name", ["../elsewhere", "/etc/hostname", "ledger/../../elsewhere"])
def test_name_that_leaves_the_folder_is_refused_in_words(report: Path, name: str) -> None:
    rewrite(report, files=seal(report) | {name: "0" * 64})
    done = gate(report, *NAMED)
    assert done.exit_code == 10
    assert f"{name}: is outside of the report" in done.output


def test_name_with_control_characters_is_shown_without_them(report: Path) -> None:
    (report / "a\x1b[2J\n::error::b").write_text("")
    done = gate(report, *NAMED)
    assert done.exit_code == 10
    assert "a\\u001b[2J\\n::error::b: is not in the list" in done.output


@pytest.mark.parametrize(
    ("name", "facts", "is_told"),
    [
        ("20991231-235959-v1.2.0-ffff", {"outcome": "rolled back"}, True),
        ("20991231-235959-v1.2.0-ffff", {"outcome": "promoted"}, False),
        ("20991231-235959-v1.3.0-ffff", {"outcome": "rolled back", "version": "v1.3.0"}, False),
        ("20991231-235959-load-v1.2.0-ffff", {"outcome": "measured", "kind": "load"}, False),
        ("20000101-000000-v1.2.0-ffff", {"outcome": "rolled back"}, False),
    ],
)
def test_newer_release_of_the_version_that_did_not_promote_is_told(
    report: Path, name: str, facts: dict[str, str], is_told: bool
) -> None:
    left_in(report.parent / name, release=name, **facts)
    done = gate(report, *NAMED)
    assert done.exit_code == 0
    assert (f"a newer release of v1.2.0 did not promote it: {name} (rolled back)" in done.output) is is_told


def test_newer_release_of_the_version_without_a_verdict_is_told(report: Path) -> None:
    (report.parent / "20991231-235959-v1.2.0-ffff").mkdir()
    assert "a newer release of v1.2.0 left no verdict" in gate(report, *NAMED).output


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
