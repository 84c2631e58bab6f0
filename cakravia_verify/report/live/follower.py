"""A release that runs, followed through its journal and its records. No lock is taken and nothing is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cakravia_verify.history.journal import Journal
from cakravia_verify.history.journal_file import JournalEntry
from cakravia_verify.report.live.progress import ReleaseProgress, progress_after, progress_at
from cakravia_verify.traffic.records.running_figures import RunningFigures, RunningRecords


@dataclass(frozen=True)
class LiveRelease:
    """A release and its traffic, now."""

    progress: ReleaseProgress
    figures: RunningFigures


class ReleaseFollower:
    """Follows the release `release` of a journal.

    `journal` is for this follower alone: it is not thread-safe. `reports` is the folder with one folder for each run.
    """

    def __init__(self, journal: Journal, *, reports: Path, release: str) -> None:
        self._journal = journal
        self._release = release
        self._records = RunningRecords(reports / release)
        self._progress: ReleaseProgress | None = None
        self._newest = 0

    def new_entries(self) -> list[JournalEntry]:
        """Return the entries of the release since the last call, oldest first. Raises JournalError."""
        found = list(self._newest_first())[::-1]
        for entry in found:
            self._progress = progress_after(self._progress, entry) if self._progress else progress_at(entry)
            self._newest = entry.seq
        return found

    def now(self) -> LiveRelease | None:
        """Return the release as of the last entries, with its traffic until now; None before its first entry."""
        return LiveRelease(self._progress, self._records.read()) if self._progress else None

    def _newest_first(self) -> Iterator[JournalEntry]:
        for entry in reversed(self._journal.entries()):
            if entry.seq <= self._newest:
                return
            if entry.release != self._release:
                continue
            yield entry
            if entry.event == "release.started":
                return
