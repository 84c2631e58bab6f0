"""Which tests belong together: in a tier, on one worker, or alone on the machine."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from xdist.scheduler import LoadGroupScheduling

if TYPE_CHECKING:
    from xdist.remote import Producer

HERE = Path(__file__).resolve().parent
MARKS = {
    "memory": "runs in memory, quickly: every test without the marks real, check and slow",
    "real": "starts real parts: processes, nginx, containers, sessions",
    "check": "runs for every pull request, though it starts real parts or takes seconds",
    "slow": "breadth beside one test that always runs (CAKRAVIA_TEST_SLOW=1 runs it too)",
    "quiet": "measures instants; no other test of the run is under way meanwhile",
}
# The marks of all tests below a path. Other tests run in memory; those of the ledger write and read files.
PLACES = {
    "analysis/test_comparison": ("check",),
    "analysis/test_measurement_": ("check",),
    "analysis/test_migration_effect": ("check",),
    "benchmarks/": ("real", "quiet"),
    "checks/prerequisites/test_planted_mistakes": ("check",),
    "cli/": ("real", "check"),
    "examples/": ("real",),
    "health/test_hostile_answers": ("check",),
    "monitor/alerts/test_evaluator": ("check",),
    "monitor/alerts/test_machine": ("check",),
    "monitor/test_metrics": ("check",),
    "monitor/test_simulated_schedules": ("check",),
    "packaging/": ("real",),
    "platforms/": ("real",),
    "plugin/": ("real",),
    "recovery/matrix/": ("real",),
    "release/test_release_machine": ("check",),
    "report/test_report_traffic_chart": ("check",),
    "report/test_report_verdict": ("check",),
    "traffic/client/": ("real",),
    "traffic/ledger/": ("check",),
    "traffic/zoo/": ("real", "quiet"),
}


def mark_by_folder(item: pytest.Item) -> None:
    """Give the test the marks of its folder, and a group if it shares sites with tests of other modules."""
    place = item.path.relative_to(HERE).as_posix()
    for below, names in PLACES.items():
        if place.startswith(below):
            for name in names:
                item.add_marker(name)
    if not any(item.get_closest_marker(name) for name in ("real", "check", "slow")):
        item.add_marker("memory")
    if item.get_closest_marker("quiet"):
        item.add_marker(pytest.mark.xdist_group("quiet"))
    elif "lanes" in getattr(item, "fixturenames", ()):
        # Scenarios of several modules run on the same few sites.
        item.add_marker(pytest.mark.xdist_group(f"lanes of {Path(place).parent}"))


def has_no_test_in_memory(path: Path) -> bool:
    """Whether all tests below the folder are marked by their place. Importing them takes seconds."""
    return f"{path.relative_to(HERE).as_posix()}/" in PLACES


def rank(item: pytest.Item) -> int:
    """Return the place of the test in a run: the longest groups first, what needs the whole machine last."""
    if item.get_closest_marker("quiet"):
        return 3
    if item.get_closest_marker("xdist_group"):
        return 0
    return 1 if item.get_closest_marker("real") else 2


def must_not_skip() -> bool:
    return os.environ.get("CAKRAVIA_TEST_SKIPS") == "fail"


def fail_for_skipping(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn the report of a skipped test into a failure that names the reason of the skip."""
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
    report.outcome = "failed"
    report.longrepr = f"{reason} (CAKRAVIA_TEST_SKIPS=fail)"


class Scheduling(LoadGroupScheduling):  # type: ignore[misc]
    """Keep the tests of a group on one worker; tests without a group stay together by module."""

    def __init__(self, config: pytest.Config, log: Producer) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        scope: str = super()._split_scope(nodeid)
        return scope.partition("::")[0]


class Machine:
    """Shares the machine among the tests of one run: many beside each other, or a quiet one alone.

    A quiet test waits until no other test is under way. On many cores as on two, it starts late, not first.
    """

    def __init__(self, config: pytest.Config) -> None:
        worker: dict[str, Any] = getattr(config, "workerinput", {})
        run = worker.get("testrunuid", os.getpid())
        self._file = Path(tempfile.gettempdir()) / f"cakravia-tests-{run}.lock"

    @contextlib.contextmanager
    def used(self, *, alone: bool = False) -> Iterator[None]:
        with self._file.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            yield

    def forget(self) -> None:
        self._file.unlink(missing_ok=True)
