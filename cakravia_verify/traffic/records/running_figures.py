"""The traffic of a run that goes on: how many requests were sent and lost, and how long the last ones took."""

from __future__ import annotations

import csv
import math
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cakravia_verify.traffic.records.rows import COLUMNS, REQUESTS_FILE, Outcome

NOW_SECONDS: Final = 5.0
_CHUNK: Final = 1 << 20
_PLACES: Final = {column.name: place for place, column in enumerate(COLUMNS)}
_PLANNED, _DONE, _OUTCOME = (_PLACES[name] for name in ("planned", "done", "outcome"))
_LOST: Final = frozenset({Outcome.LOST.value, Outcome.UNREACHED.value})


@dataclass(frozen=True)
class RunningFigures:
    """Requests until now. `p95` is in seconds, of the answers of the last seconds; None if there were none."""

    sent: int = 0
    lost: int = 0
    errors: int = 0
    p95: float | None = None


class RunningRecords:
    """Reads the records of a run while they are written. It reads only the columns that it needs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[Path, _Tail] = {}
        self._recent: deque[tuple[int, int]] = deque()
        self._sent = self._lost = self._errors = 0

    def read(self) -> RunningFigures:
        """Return the figures until now. A folder without records has none."""
        for path in self._paths():
            tail = self._files.setdefault(path, _Tail(path))
            while rows := tail.read():
                for row in rows:
                    self._count(row)
        return RunningFigures(self._sent, self._lost, self._errors, self._p95())

    def _paths(self) -> list[Path]:
        """Return the files of the records. At the end of a run, one file with all rows takes their place."""
        stem, _, kind = REQUESTS_FILE.partition(".")
        parts = sorted(self._folder.glob(f"{stem}-*.{kind}"))
        known = [path for path in self._files if path.name != REQUESTS_FILE]
        return parts if parts or known else [self._folder / REQUESTS_FILE]

    def _count(self, row: list[str]) -> None:
        try:
            planned, done, outcome = int(row[_PLANNED]), row[_DONE], row[_OUTCOME]
            ended = int(done) if done else planned
        except (IndexError, ValueError):  # the header, or no row at all
            return
        self._sent += 1
        self._lost += outcome in _LOST
        self._errors += outcome == Outcome.ERROR.value
        if outcome == Outcome.ANSWERED.value:
            self._recent.append((ended, ended - planned))

    def _p95(self) -> float | None:
        if not self._recent:
            return None
        since = max(ended for ended, _ in (self._recent[0], self._recent[-1])) - int(NOW_SECONDS * 1e6)
        while self._recent[0][0] < since:
            self._recent.popleft()
        taken = sorted(took for _, took in self._recent)
        return taken[math.ceil(0.95 * len(taken)) - 1] / 1e6


class _Tail:
    """The complete lines of a growing file, each one once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def read(self) -> list[list[str]]:
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                whole, feed, _ = file.read(_CHUNK).rpartition(b"\n")
        except OSError:
            return []
        if not feed:
            return []
        self._offset += len(whole) + 1
        try:
            return list(csv.reader(whole.decode("utf-8", "replace").split("\n")))
        except csv.Error:
            return []
