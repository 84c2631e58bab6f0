"""What a failure while measuring leaves behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cakravia_verify.errors import TrafficError
from cakravia_verify.runs.failures import describe_and_log
from cakravia_verify.runs.traffic_watch import TrafficWatch
from tests.memory_stage import Stage


class BrokenTraffic:
    """Traffic whose records make our own code fail."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        raise self._error


def watched(tmp_path: Path, error: Exception) -> TrafficWatch:
    release = Stage(tmp_path / "site").release("v1")
    traffic_watch = TrafficWatch(release, folder=tmp_path / "report")
    traffic_watch.traffic_run = BrokenTraffic(error)  # type: ignore[assignment]
    return traffic_watch


def test_a_programming_error_while_measuring_became_one_line_without_a_traceback(tmp_path: Path) -> None:
    traffic_watch = watched(tmp_path, KeyError("slot"))
    assert traffic_watch.so_far() is None
    log = tmp_path / "report" / "debug.log"
    assert str(log) in traffic_watch.trouble
    assert "Traceback (most recent call last)" in log.read_text()
    assert "in so_far" in log.read_text()
    assert "KeyError: 'slot'" in log.read_text()


def test_an_expected_failure_leaves_no_traceback(tmp_path: Path) -> None:
    traffic_watch = watched(tmp_path, TrafficError("the traffic ended"))
    assert traffic_watch.so_far() is None
    assert traffic_watch.trouble == "the traffic ended"
    assert not (tmp_path / "report").exists()


def test_a_debug_log_that_cannot_be_written_keeps_the_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    message = describe_and_log(ValueError("odd"), folder=tmp_path / "file")
    assert "ValueError: odd" in message
    assert "could not be written" in message
