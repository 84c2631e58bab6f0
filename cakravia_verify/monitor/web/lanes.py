"""From the entries of the history to the slots over time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from cakravia_verify.history.journal_file import Entries, JournalEntry
from cakravia_verify.monitor.web.snapshot import Lanes, Stretch, Switch
from cakravia_verify.slots import Colour

# Bounds for the page: the chart shows no more releases, stretches and switches.
MOST_RELEASES: Final = 12
MOST_MARKS: Final = 16
# A chart of a young site is not one second long.
SHORTEST_SPAN: Final = 600.0


def lanes_of(entries: Entries, *, now: float, most: int = MOST_RELEASES) -> Lanes:
    """Return what the newest releases did to the slots, until now."""
    rows = newest_entries(entries, most)
    course = _Course()
    for entry in rows:
        course.take(entry)
    since = min([now - SHORTEST_SPAN, *(instant_of(entry) for entry in rows[:1])])
    return Lanes(
        since=since,
        until=now,
        occupied=tuple(course.ended_stretches(course.occupied, course.occupants, since))[-2 * MOST_MARKS :],
        users=tuple(course.ended_stretches(course.users, course.serving, since))[-MOST_MARKS:],
        switches=tuple(course.switches[-MOST_MARKS:]),
    )


def newest_entries(entries: Entries, most: int) -> Sequence[JournalEntry]:
    """Return the entries since the beginning of the `most` newest releases, oldest first."""
    found: list[JournalEntry] = []
    started = 0
    for entry in reversed(entries):
        found.append(entry)
        started += entry.event == "release.started"
        if started >= most:
            break
    return found[::-1]


def instant_of(entry: JournalEntry) -> float:
    """Return the entry's instant in seconds since 1970, 0 when it has none that can be read."""
    try:
        return datetime.fromisoformat(entry.at).timestamp()
    except ValueError:
        return 0.0


@dataclass
class _Course:
    """What the entries so far did. `occupants` and `serving` hold stretches that last."""

    occupants: dict[str, Stretch] = field(default_factory=dict)
    serving: dict[str, Stretch] = field(default_factory=dict)
    occupied: list[Stretch] = field(default_factory=list)
    users: list[Stretch] = field(default_factory=list)
    switches: list[Switch] = field(default_factory=list)
    _plans: dict[str, JournalEntry] = field(default_factory=dict)

    def take(self, entry: JournalEntry) -> None:
        at = instant_of(entry)
        match entry.event:
            case "release.started":
                self._begin(entry, at)
            case "step.done" | "undo.done" if entry.release in self._plans:
                self._step(entry, self._plans[entry.release], at)
            case "site.down":
                self._leave_users(at)
                for colour in list(self.occupants):
                    self._leave(colour, at)
            case "site.up" | "site.repaired":
                self._serve(_text(entry, "slot"), _text(entry, "version"), at)

    def _begin(self, entry: JournalEntry, at: float) -> None:
        self._plans[entry.release] = entry
        colour, version = _text(entry, "from_slot"), _text(entry, "from_version")
        if colour and version and not self.serving:
            self._serve(colour, version, at)

    def _step(self, entry: JournalEntry, plan: JournalEntry, at: float) -> None:
        colour, version = _text(plan, "slot"), _text(plan, "version")
        match (entry.event, entry.step):
            case ("step.done", "stage"):
                self._occupy(colour, version, at)
            case ("step.done", "switch"):
                self._serve(colour, version, at)
                self._mark(entry, plan, colour=colour, at=at, is_return=False)
            case ("undo.done", "switch"):
                self._leave_users(at)
                if before := _text(plan, "from_slot"):
                    self._serve(before, _text(plan, "from_version"), at)
                    self._mark(entry, plan, colour=before, at=at, is_return=True)
            case ("undo.done", "stage") if not plan.facts.get("warm"):
                self._leave(colour, at)

    def _mark(self, entry: JournalEntry, plan: JournalEntry, *, colour: str, at: float, is_return: bool) -> None:
        took = entry.facts.get("milliseconds")
        version = _text(plan, "from_version") if is_return else _text(plan, "version")
        milliseconds = float(took) if isinstance(took, int | float) else None
        self.switches.append(Switch(at, entry.release, version, colour, is_return, milliseconds))

    def _occupy(self, colour: str, version: str, at: float) -> None:
        there = self.occupants.get(colour)
        if colour not in set(Colour) or (there and there.version == version):
            return
        self._leave(colour, at)
        self.occupants[colour] = Stretch(colour, version, at, None)

    def _leave(self, colour: str, at: float) -> None:
        if there := self.occupants.pop(colour, None):
            self.occupied.append(replace(there, ended=at))

    def _serve(self, colour: str, version: str, at: float) -> None:
        if colour not in set(Colour):
            return
        self._occupy(colour, version, at)
        there = self.serving.get(colour)
        if there and there.version == version:
            return
        self._leave_users(at)
        self.serving[colour] = Stretch(colour, version, at, None)

    def _leave_users(self, at: float) -> None:
        for there in self.serving.values():
            self.users.append(replace(there, ended=at))
        self.serving.clear()

    @staticmethod
    def ended_stretches(ended: Iterable[Stretch], lasting: dict[str, Stretch], since: float) -> Iterable[Stretch]:
        for each in (*ended, *lasting.values()):
            yield replace(each, began=max(each.began, since))


def _text(entry: JournalEntry, name: str) -> str:
    value: Any = entry.facts.get(name)
    return str(value) if value else ""
