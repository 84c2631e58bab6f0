"""The folder of reports."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

import pytest

from cakravia_verify.errors import CakraviaError, UsageError
from cakravia_verify.report.folder import point_latest, require_writable
from cakravia_verify.report.sealing import seal


def test_latest_leads_to_the_newest_report_wherever_the_reports_are_moved(tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    for name in ("r1", "r2"):
        (reports / name).mkdir(parents=True)
        (reports / name / "verdict.json").write_text(name)
        point_latest(reports, reports / name)
    moved = reports.rename(tmp_path / "elsewhere")
    assert (moved / "latest" / "verdict.json").read_text() == "r2"
    assert sorted(entry.name for entry in moved.iterdir()) == ["latest", "r1", "r2"]


def test_a_link_that_a_crash_left_half_made_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "r1").mkdir()
    (tmp_path / f".latest.{os.getpid()}.draft").symlink_to("nowhere")
    point_latest(tmp_path, tmp_path / "r1")
    assert (tmp_path / "latest").resolve() == (tmp_path / "r1").resolve()


def test_a_folder_named_latest_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "latest").mkdir()
    (tmp_path / "latest" / "mine").write_text("")
    with pytest.raises(CakraviaError, match="cannot be pointed"):
        point_latest(tmp_path, tmp_path / "r1")
    with pytest.raises(UsageError, match="exists already"):
        require_writable(tmp_path)
    assert (tmp_path / "latest" / "mine").exists()


def test_asking_leaves_nothing_behind_and_makes_no_folder(tmp_path: Path) -> None:
    require_writable(tmp_path / "reports" / "deep")
    require_writable(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_the_reports_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("")
    with pytest.raises(UsageError, match="not a folder"):
        require_writable(tmp_path / "reports")


@pytest.mark.parametrize("place", ["/proc/reports", "/proc"])
def test_a_place_that_cannot_be_written_is_a_usage_error_with_a_remedy(place: str) -> None:
    if not Path("/proc").is_dir():
        pytest.skip("there is no /proc: nothing here refuses root")
    with pytest.raises(UsageError, match="no report can be written") as caught:
        require_writable(Path(place))
    assert caught.value.remedy


def test_the_seal_covers_every_file_but_the_verdict_drafts_and_links(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "b.log").write_text("b")
    (tmp_path / "a.csv").write_text("a")
    (tmp_path / "verdict.json").write_text("{}")
    (tmp_path / ".verdict.json.7.draft").write_text("{")
    (tmp_path / "link").symlink_to("a.csv")
    assert seal(tmp_path) == {"a.csv": sha256(b"a").hexdigest(), "logs/b.log": sha256(b"b").hexdigest()}
