"""The nightly regression on a copy of a site: releases, a bad version, faults, a load and a rollback, by rounds."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import count
from typing import Any, Final

import psutil

from cakravia_verify.errors import CakraviaError
from cakravia_verify.faults.catalogue import FAULTS, fault_named
from cakravia_verify.faults.model import Moment
from cakravia_verify.faults.proxy_faults import family_of
from cakravia_verify.faults.slot_faults import processes_of
from cakravia_verify.gate.model import Exit
from cakravia_verify.runs.failover import RELEASE_SECONDS, FailoverOnCopy
from cakravia_verify.runs.failover_cell import FailoverCell
from cakravia_verify.runs.failover_trials import sentence
from cakravia_verify.slots import Colour

GOOD: Final = "good versions"
BAD: Final = "bad versions"
ROLLBACKS: Final = "rollbacks"
FAULTS_KEPT: Final = "faults"
LOADS: Final = "loads"
LOST: Final = "lost requests"
CHAPTERS: Final = (GOOD, BAD, ROLLBACKS, FAULTS_KEPT, LOADS, LOST)
# Shares of the rate, one after the other, and seconds of each.
LOAD_STEPS: Final = (0.5, 0.75, 1.0)
LOAD_SECONDS: Final = 5.0
# A version that dies in its bake is a bad one for every application.
BAD_VERSION: Final = FailoverCell(fault_named("slot-killed"), Moment.AFTER)
MEGABYTE: Final = 2**20


class Regression:
    """Rounds on a copy. `done` counts what was done in each chapter, `problems` says what went wrong there."""

    def __init__(self, failover: FailoverOnCopy, *, told: Callable[[str], None] = lambda _: None) -> None:
        self.done: dict[str, int] = dict.fromkeys(CHAPTERS, 0)
        self.problems: dict[str, list[str]] = {name: [] for name in CHAPTERS}
        self.samples: dict[str, list[float]] = defaultdict(list)
        self.rounds = 0
        self._failover = failover
        self._told = told
        self._steady = [fault for fault in FAULTS if not fault.needs_detour]

    def run(self, seconds: float) -> None:
        """Do rounds until the time is over, one at least. Raises CakraviaError if the copy cannot go on."""
        clock = self._failover.site.clock
        end = clock.monotonic() + seconds
        for number in count():
            self._round(number)
            self.rounds += 1
            if clock.monotonic() >= end:
                return

    def _round(self, number: int) -> None:
        self._told(f"  round {number + 1}")
        self._good_version()
        self._fault(BAD_VERSION, chapter=BAD)
        self._good_version()
        self._fault(FailoverCell(self._steady[number % len(self._steady)], Moment.STEADY), chapter=FAULTS_KEPT)
        self._measure_processes()
        self._load()
        self._roll_back()

    def _good_version(self) -> None:
        verdict = self._session(self._failover.begin_release(), chapter=GOOD, good=(Exit.PROMOTED,))
        self._sample("release_seconds", verdict.get("seconds"))
        self._sample("switch_seconds", (verdict.get("switch") or {}).get("seconds"))

    def _roll_back(self) -> None:
        session = self._failover.copy.begin("rollback", "--reason", "regression", is_detoured=False)
        verdict = self._session(session, chapter=ROLLBACKS, good=(Exit.PROMOTED, Exit.UNPROVEN))
        self._sample("rollback_seconds", verdict.get("seconds"))

    def _load(self) -> None:
        """Load the copy step by step, up to the rate of the settings."""
        rate = self._failover.copy.settings.traffic.rate
        for share in LOAD_STEPS:
            command = ("load", "--duration", f"{LOAD_SECONDS:g}")
            session = self._failover.copy.begin(*command, is_detoured=False, more={"traffic.rate": share * rate})
            last = self._session(session, chapter=LOADS, good=(Exit.WITHIN_BUDGET,), latest="latest-load")
        self._sample("load_p99_seconds", _measured(last).get("p99"))

    def _session(self, session: Any, *, chapter: str, good: Sequence[int], latest: str = "latest") -> Mapping[str, Any]:
        """Wait for the end of a session, and return its verdict. What was lost without a fault is a problem."""
        ended = session.wait(RELEASE_SECONDS)
        self.done[chapter] += 1
        verdict: Mapping[str, Any] = {}
        with suppress(OSError, ValueError):
            verdict = json.loads((self._failover.copy.settings.reports / latest / "verdict.json").read_text())
        if ended.status not in good:
            why = verdict.get("why") or ended.output[-300:]
            self.problems[chapter].append(f"round {self.rounds + 1}: exit status {ended.status}: {why}")
        self.done[LOST] += 1
        if lost := _measured(verdict).get("lost"):
            self.problems[LOST].append(f"round {self.rounds + 1}: {lost} requests of {chapter}")
        return verdict

    def _fault(self, cell: FailoverCell, *, chapter: str) -> None:
        try:
            result = self._failover.try_cell(cell)
        except CakraviaError as error:
            self.problems[chapter].append(f"round {self.rounds + 1}: {cell.name}: {error.message}")
            return
        self.done[chapter] += 1
        self._told(f"  {sentence(result)}")
        self.problems[chapter] += [f"round {self.rounds + 1}: {cell.name}: {problem}" for problem in result.problems]

    def _measure_processes(self) -> None:
        site = self._failover.site
        nginx = family_of(site.settings).everyone()
        slots = [
            process for colour in Colour if (slot := site.platform.observe(colour)) for process in processes_of(slot)
        ]
        self._sample("nginx_megabytes", _memory(nginx))
        self._sample("slot_megabytes", _memory(slots))
        self._sample("open_files", float(sum(_open_files(process) for process in (*nginx, *slots))))

    def _sample(self, name: str, value: Any) -> None:
        if isinstance(value, int | float):
            self.samples[name].append(float(value))


def _measured(verdict: Mapping[str, Any]) -> Mapping[str, Any]:
    return (verdict.get("evidence") or {}).get("measured") or {}


def _memory(processes: Sequence[psutil.Process]) -> float:
    total = 0
    for process in processes:
        with suppress(psutil.Error):
            total += process.memory_info().rss
    return total / MEGABYTE


def _open_files(process: psutil.Process) -> int:
    with suppress(psutil.Error):
        return int(process.num_fds())
    return 0
