"""Make a snapshot from what the monitor sees, the store, the alerts, the history and the report folders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cakravia_verify.errors import JournalError
from cakravia_verify.history.journal import Journal
from cakravia_verify.history.journal_file import Entries
from cakravia_verify.monitor.alerts.book import silenced_by
from cakravia_verify.monitor.alerts.message import ROLLBACK
from cakravia_verify.monitor.alerts.model import Silence
from cakravia_verify.monitor.alerts.rules import rules_for
from cakravia_verify.monitor.facts import ProbeTarget
from cakravia_verify.monitor.place import place_of
from cakravia_verify.monitor.report import alerts_of
from cakravia_verify.monitor.store.sample_store import FILE_NAME as STORE_NAME
from cakravia_verify.monitor.web.headline import headline_of
from cakravia_verify.monitor.web.lanes import lanes_of
from cakravia_verify.monitor.web.past import Past, PastReader
from cakravia_verify.monitor.web.releases import ReleaseRows, cut, number
from cakravia_verify.monitor.web.resources import usages_of
from cakravia_verify.monitor.web.snapshot import (
    AlertRow,
    BurnWindow,
    ErrorBudget,
    EventRow,
    HealthCell,
    HealthRow,
    Lanes,
    MonitorHealth,
    ReleaseRow,
    RollbackReadiness,
    SilenceRow,
    Snapshot,
    SourceRow,
    Standing,
    WaitingRow,
)
from cakravia_verify.settings.models import Settings

MOST_EVENTS: Final = 20
MOST_ROWS: Final = 20
# Sizes and the end of the chart are rounded, so that a part of the page that shows nothing new stays the same.
STORE_STEP: Final = 100_000
MINUTE: Final = 60.0


@dataclass(frozen=True)
class History:
    """What the history says; `flaw` says why it cannot be read."""

    lanes: Lanes
    releases: tuple[ReleaseRow, ...]
    flaw: str = ""


class SnapshotMaker:
    """Makes snapshots of one site. What changes slowly is read again only after some time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = place_of(settings).folder
        self._journal = Journal(settings.history)
        self._releases = ReleaseRows(settings.reports)
        self._past = PastReader(self._folder, settings.monitor.objective)
        self._known: tuple[Entries, float, History] | None = None
        self._urgencies = {rule.name: str(rule.policy.urgency) for rule in rules_for(settings.monitor)}

    def make(self, state: Mapping[str, Any], *, now: float, every: float) -> Snapshot:
        """Return the snapshot. `state` is what the monitor wrote, or would write, into its state file."""
        facts: Mapping[str, Any] = state.get("facts") or {}
        book = alerts_of(self._folder, now=now, last=MOST_EVENTS)
        past = self._past.read(now)
        history = self._history(now)
        alerts = self._alerts(state.get("alerts") or book["alerts"], book["silences"])
        active = str(state.get("active") or "")
        health = tuple(_health(facts, active, past))
        release: Mapping[str, Any] = facts.get("release") or {}
        drift: Mapping[str, Any] = facts.get("drift") or {}
        lines = [*drift.get("drift", ()), *([history.flaw] if history.flaw else ())]
        return Snapshot(
            site=self._settings.site.name,
            at=float(state.get("at") or 0.0),
            every=every,
            headline=headline_of(state, alerts, active=active, version=_version_of(health)),
            active=active,
            version=_version_of(health),
            purpose=cut(release.get("purpose", "")),
            alerts=alerts,
            silences=tuple(_silences(book["silences"])),
            events=tuple(
                EventRow(row["at"], cut(row["name"]), str(row["change"]), cut(row["detail"]))
                for row in reversed(book["events"])
            ),
            lanes=history.lanes,
            releases=history.releases,
            rollback=_rollback(facts.get("rollback")),
            health=health,
            latency=past.latency,
            usages=tuple(usages_of(facts, self._settings.monitor)),
            budget=_budget(past.budget, facts.get("traffic")),
            days=past.days,
            drift=tuple(cut(line, 400) for line in lines[:MOST_ROWS]),
            drift_at=number(drift.get("at")),
            monitor=self._own_health(state, book["waiting"]),
        )

    def _history(self, now: float) -> History:
        minute = (now // MINUTE + 1) * MINUTE
        try:
            entries = self._journal.entries()
            if self._known is not None:
                known, until, history = self._known
                if until == minute and entries.continues(known) and known.continues(entries):
                    return history
            history = History(lanes_of(entries, now=minute), self._releases.rows(entries))
            self._known = (entries, minute, history)
        except JournalError as error:
            return History(Lanes(now, now, (), (), ()), (), flaw=error.message)
        return history

    def _alerts(self, rows: Sequence[Mapping[str, Any]], silences: Sequence[Mapping[str, Any]]) -> tuple[AlertRow, ...]:
        known = [Silence(**row) for row in silences]
        found = [
            AlertRow(
                name=cut(row["name"]),
                state=str(row["state"]),
                urgency=self._urgencies.get(row["name"], "warning"),
                is_open=bool(row["is_open"]),
                since=float(row.get("began_at") or row.get("since") or 0.0),
                detail=cut(row["detail"], 400),
                acknowledged_by=cut(row["acknowledged_by"]),
                is_flapping=bool(row["is_flapping"]),
                is_silenced=silenced_by(row["name"], known) is not None,
            )
            for row in rows
        ]
        return tuple(sorted(found, key=lambda row: (not row.is_open, row.urgency != "page", row.name)))

    def _own_health(self, state: Mapping[str, Any], waiting: Sequence[Mapping[str, Any]]) -> MonitorHealth:
        return MonitorHealth(
            version=cut(state.get("version", "")),
            started_at=float(state.get("started_at") or 0.0),
            trouble=cut(state.get("trouble") or "", 400),
            dropped_samples=int(state.get("dropped_samples") or 0),
            store_bytes=_size_of(self._folder / STORE_NAME) // STORE_STEP * STORE_STEP,
            sources=tuple(
                SourceRow(
                    cut(row["name"]),
                    Standing.BAD if row["is_silent"] else Standing.WARNING if row["problem"] else Standing.GOOD,
                    float(row["reported_at"]) if row["is_silent"] else None,
                    cut(row["problem"]),
                )
                for row in state.get("sources") or ()
            ),
            waiting=tuple(
                WaitingRow(cut(row["channel"]), row["count"], row["oldest"], cut(row["error"] or ""))
                for row in waiting[:MOST_ROWS]
            ),
        )


def _health(facts: Mapping[str, Any], active: str, past: Past) -> Iterator[HealthRow]:
    for target in ProbeTarget:
        seen = facts.get(target)
        if not seen:
            continue
        probes: Sequence[Mapping[str, Any]] = seen.get("probes") or ()
        yield HealthRow(
            target=str(target),
            is_active=target == active,
            is_there=bool(seen.get("is_there", True)),
            version=cut(next((probe["version"] for probe in probes if probe.get("version")), "")),
            cells=tuple(
                HealthCell(
                    endpoint=cut(probe["endpoint"]),
                    standing=Standing.BAD if probe["problem"] else Standing.GOOD,
                    problem=cut(probe["problem"]),
                    **past.of_probe(f"probe/{target}/{probe['endpoint']}"),
                )
                for probe in probes
            ),
        )


def _version_of(health: Sequence[HealthRow]) -> str:
    by_target = {row.target: row.version for row in health}
    active = next((row.version for row in health if row.is_active), "")
    return by_target.get(str(ProbeTarget.USERS)) or active


def _rollback(facts: Mapping[str, Any] | None) -> RollbackReadiness | None:
    if not facts:
        return None
    return RollbackReadiness(
        at=float(facts["at"]),
        is_possible=bool(facts["is_possible"]),
        detail=cut(facts["detail"], 400),
        users_back=number(facts.get("users_back")),
        basis=cut(facts.get("basis", "")),
        command=ROLLBACK,
    )


def _budget(past: ErrorBudget, traffic: Mapping[str, Any] | None) -> ErrorBudget:
    windows: Mapping[Any, Sequence[int]] = (traffic or {}).get("windows") or {}
    burning = tuple(BurnWindow(int(seconds), *map(int, counts)) for seconds, counts in windows.items())
    return ErrorBudget(**{**vars(past), "windows": burning})


def _silences(rows: Sequence[Mapping[str, Any]]) -> Iterator[SilenceRow]:
    for row in rows[:MOST_ROWS]:
        yield SilenceRow(row["number"], cut(row["pattern"]), row["until"], cut(row["reason"]), cut(row["who"]))


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
