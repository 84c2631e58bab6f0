"""The snapshot of a site, made from real files: state, store, alerts, history, report folders."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from cakravia_verify.history.journal import Journal
from cakravia_verify.monitor.alerts import book
from cakravia_verify.monitor.alerts.model import Alert, AlertEvent, Change, State
from cakravia_verify.monitor.facts import Probe, ProbeTarget, ReleaseStatus, Round, TrafficFacts
from cakravia_verify.monitor.place import place_of
from cakravia_verify.monitor.state import facts_as_json
from cakravia_verify.monitor.store.sample_store import SampleStore
from cakravia_verify.monitor.store.samples import MetricSample, Phases, ProbeOutcome
from cakravia_verify.monitor.web.making import SnapshotMaker
from cakravia_verify.monitor.web.snapshot import Standing
from cakravia_verify.settings.models import Settings, SiteSettings
from cakravia_verify.slots import Colour
from cakravia_verify.testing.memory import FakeClock

RELEASE = "20261129-deploy-v2"
MEASURED = {"sent": 900, "lost": 2, "lost_bound": "2 of 900"}
LOST = [{"id": "u1-7", "method": "GET", "name": "/cart", "status": None, "served_slot": "green", "detail": "reset"}]
WINDOW = {"name": "during the switch", "requests": 90, "lost": 2, "errors": 0, "p50": 0.01, "p99": 0.2}


@pytest.fixture
def settings(quick_folder: Path) -> Settings:
    return Settings(site=SiteSettings(name="shop"), root=quick_folder)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def now(settings: Settings, clock: FakeClock) -> float:
    """A site whose second version was promoted a minute ago."""
    journal = Journal(settings.history, clock=clock)
    facts = {"kind": "deploy", "version": "v2", "slot": "green", "from_slot": "blue", "from_version": "v1"}
    journal.append("release.started", release=RELEASE, **facts)
    for step in ("stage", "switch"):
        journal.append("step.intent", release=RELEASE, step=step)
        clock.sleep(1)
        journal.append("step.done", release=RELEASE, step=step, seconds=1.0, milliseconds=0.4)
    journal.append("release.verdict", release=RELEASE, decision="PROMOTE", why="all good")
    journal.append("release.finished", release=RELEASE, outcome="promoted", seconds=2.5)
    folder = settings.reports / RELEASE
    folder.mkdir(parents=True)
    (folder / "report.html").write_text("<!DOCTYPE html>")
    verdict = {"evidence": {"measured": MEASURED}, "windows": [WINDOW], "lost_rows": LOST}
    (folder / "verdict.json").write_text(json.dumps(verdict))
    clock.sleep(60)
    return clock.wall()


def state_of(now: float, *, problem: str = "") -> Mapping[str, Any]:
    probes = tuple(Probe(name, problem, "green", "v2") for name in ("health", "ready"))
    facts = {
        "users": Round(ProbeTarget.USERS, now, probes),
        "green": Round(ProbeTarget.GREEN, now, probes),
        "release": ReleaseStatus(now, "", True, False, Colour.GREEN, True, "", None),
        "traffic": TrafficFacts(now, {300: (1, 50), 3600: (1, 400)}),
    }
    return {"at": now, "active": "green", "facts": facts_as_json(facts), "sources": [], "alerts": []}


def test_releases_have_their_verdict_and_their_report(settings: Settings, now: float) -> None:
    (row,) = SnapshotMaker(settings).make(state_of(now), now=now, every=5.0).releases
    assert row.traffic is not None
    assert (row.version, row.outcome, row.report) == ("v2", "promoted", f"{RELEASE}/report.html")
    assert (row.traffic.sent, row.traffic.lost) == (900, 2)
    assert row.traffic.windows[0].p99 == 0.2
    assert row.traffic.lost_rows == (("u1-7", "GET", "/cart", "green", "reset"),)
    assert [phase.step for phase in row.phases] == ["stage", "switch"]


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"evidence": 7, "windows": null}', b"\xff" * 100])
def test_a_verdict_that_cannot_be_read_is_not_measured(content: bytes, settings: Settings, now: float) -> None:
    (settings.reports / RELEASE / "verdict.json").write_bytes(content)
    (row,) = SnapshotMaker(settings).make(state_of(now), now=now, every=5.0).releases
    assert row.traffic is None


def test_a_release_named_like_a_path_reads_no_file_elsewhere(settings: Settings, now: float, clock: FakeClock) -> None:
    journal = Journal(settings.history, clock=clock)
    name = f"../{settings.reports.name}/{RELEASE}"
    journal.append("release.started", release=name, kind="deploy", version="v3", slot="blue")
    journal.append("release.finished", release=name, outcome="promoted", seconds=1.0)
    newest = SnapshotMaker(settings).make(state_of(now), now=now, every=5.0).releases[0]
    assert (newest.version, newest.traffic, newest.report) == ("v3", None, "")


def test_the_headline_names_what_users_get(settings: Settings, now: float) -> None:
    headline = SnapshotMaker(settings).make(state_of(now), now=now, every=5.0).headline
    assert (headline.standing, headline.text) == (Standing.GOOD, "Users get v2 from green")


def test_an_open_alert_about_users_is_the_headline(settings: Settings, now: float) -> None:
    alert = Alert("site", State.FIRING, now - 30, "users: health: status 500", is_open=True, began_at=now - 30)
    database = book.open_book(place_of(settings).folder)
    database.transact(lambda connection: book.save_alerts(connection, [alert]))
    event = AlertEvent(now - 30, "site", Change.FIRED, "users: health: status 500")
    database.transact(lambda connection: book.add_events(connection, [event]))
    database.transact(lambda c: book.add_silence(c, "si*", until=now + 60, reason="known", who="maria"))
    database.close()
    snapshot = SnapshotMaker(settings).make(state_of(now, problem="status 500"), now=now, every=5.0)
    assert (snapshot.headline.standing, snapshot.headline.text) == (Standing.BAD, "Users get no good answer")
    assert snapshot.alerts[0].is_silenced
    assert snapshot.alerts[0].urgency == "page"
    assert [event.change for event in snapshot.events] == ["fired"]


def test_availability_and_budget_come_from_the_store(settings: Settings, now: float) -> None:
    outcomes = [ProbeOutcome.OK] * 9 + [ProbeOutcome.REFUSED]
    samples = [
        MetricSample("probe/users/health", now - 600 + each, 0.004, outcome, 200, Phases())
        for each, outcome in enumerate(outcomes)
    ]
    samples.append(MetricSample("traffic/requests", now - 600, 1000.0))
    samples.append(MetricSample("traffic/failed", now - 600, 4.0))
    store = SampleStore(place_of(settings).folder)
    store.add(samples)
    store.close()
    snapshot = SnapshotMaker(settings).make(state_of(now), now=now, every=5.0)
    cell = snapshot.health[0].cells[0]
    assert cell.availability == pytest.approx(0.9)
    assert cell.p99 == pytest.approx(0.004, rel=0.06)
    assert sum(point.bad for point in snapshot.latency) == 1
    assert snapshot.days[-1].availability == pytest.approx(0.9)
    assert (snapshot.budget.failed, snapshot.budget.total) == (4, 1000)
    assert snapshot.budget.used == pytest.approx(4.0)
    assert [(each.seconds, each.failed) for each in snapshot.budget.windows] == [(300, 1), (3600, 1)]


def test_without_real_requests_the_budget_counts_probes(settings: Settings, now: float) -> None:
    store = SampleStore(place_of(settings).folder)
    store.add([MetricSample("probe/users/health", now - 60, 0.004, phases=Phases())])
    store.close()
    budget = SnapshotMaker(settings).make(state_of(now), now=now, every=5.0).budget
    assert (budget.basis, budget.total) == ("probes through the proxy", 1)


def test_a_state_that_was_never_written_makes_a_snapshot_too(settings: Settings) -> None:
    snapshot = SnapshotMaker(settings).make({}, now=1_700_000_000.0, every=0.0)
    assert snapshot.headline.standing is Standing.UNKNOWN
    assert json.dumps(asdict(snapshot))


def test_a_state_from_the_file_and_from_memory_make_the_same_snapshot(settings: Settings, now: float) -> None:
    state = state_of(now, problem="status 503")
    maker = SnapshotMaker(settings)
    from_memory = maker.make(state, now=now, every=5.0)
    assert maker.make(json.loads(json.dumps(state, default=str)), now=now, every=5.0) == from_memory


def test_a_damaged_history_is_told_as_drift(settings: Settings, now: float) -> None:
    settings.history.unlink()
    settings.history.mkdir()
    snapshot = SnapshotMaker(settings).make(state_of(now), now=now, every=5.0)
    assert "cannot be read" in snapshot.drift[0]
