"""Sources: none delays another, and what each reports."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cakravia_verify.errors import PlatformError
from cakravia_verify.history.journal import Journal
from cakravia_verify.monitor.facts import HostFacts, ProbeTarget, ReleaseStatus, TrafficFacts, VantageFacts
from cakravia_verify.monitor.recorder import SampleRecorder
from cakravia_verify.monitor.sampling.machine import HostSource, VantageSource, default_gateway
from cakravia_verify.monitor.sampling.releases import ReleaseSource, last_change, last_supervision
from cakravia_verify.monitor.sampling.rounds import RoundSource
from cakravia_verify.monitor.sampling.source import MOST_SAMPLES, Board, Collected, SourceThread
from cakravia_verify.monitor.sampling.traffic import MOST_BYTES, TrafficSource
from cakravia_verify.monitor.store.query import raw_samples
from cakravia_verify.monitor.store.sample_store import SampleStore
from cakravia_verify.monitor.store.samples import MetricSample
from cakravia_verify.settings.models import Settings
from cakravia_verify.site.maintenance import Maintenance
from cakravia_verify.slots import Address
from cakravia_verify.testing.memory import FakeClock
from tests.memory_stage import Stage
from tests.ports import free_ports


@dataclass
class Scripted:
    """A source that does what it is told."""

    act: Callable[[], Collected]
    name: str = "scripted"
    every: float = 0.01
    deadline: float = 1.0
    log: list[str] = field(default_factory=list)

    def collect(self) -> Collected:
        return self.act()


def run_until(board: Board, source: Scripted, holds: Callable[[], bool]) -> None:
    thread = SourceThread(source, board, log=source.log.append)
    thread.start()
    waited = threading.Event()
    for _ in range(1000):
        if holds():
            break
        waited.wait(0.01)
    thread.stop()
    assert holds()


def test_a_source_that_fails_is_asked_again_and_its_reason_kept() -> None:
    board, calls = Board(), []

    def act() -> Collected:
        calls.append(1)
        raise OSError("the disk is gone")

    source = Scripted(act)
    run_until(board, source, lambda: len(calls) > 5)
    (state,) = board.states()
    assert "the disk is gone" in state.problem
    assert sum("Traceback" in line for line in source.log) == 1


def test_a_source_that_hangs_becomes_silent_and_delays_no_other() -> None:
    board, released = Board(), threading.Event()
    clock = FakeClock()
    board.clock = clock

    def hang() -> Collected:
        released.wait(20)
        return Collected()

    hanging = SourceThread(Scripted(hang, name="hanging"), Board(), log=lambda _: None)
    hanging.start()
    run_until(board, Scripted(lambda: Collected("facts"), name="quick"), lambda: board.facts() == {"quick": "facts"})
    released.set()
    hanging.stop()


def test_a_source_without_reports_is_silent_after_its_deadline() -> None:
    clock = FakeClock()
    board = Board(clock)
    board.expect(Scripted(Collected, every=2.0, deadline=8.0))
    clock.now += 9.9
    assert board.silent() == {}
    clock.now += 0.2
    assert list(board.silent()) == ["scripted"]
    board.report("scripted", Collected())
    assert board.silent() == {}


def test_samples_that_cannot_be_stored_are_bounded() -> None:
    board = Board()
    board.keep([MetricSample("host/load", float(number), 1.0) for number in range(MOST_SAMPLES + 500)])
    kept = board.take_samples()
    assert (len(kept), board.dropped, kept[0].at) == (MOST_SAMPLES, 500, 500.0)


def test_a_store_that_refuses_loses_no_sample(tmp_path: Path) -> None:
    board = Board()
    folder = tmp_path / "in-the-way"
    folder.write_text("a file where the folder should be")
    recorder = SampleRecorder(board, SampleStore(folder), log=lambda _: None)
    now = time.time()
    board.keep([MetricSample("host/load", now, 1.0)])
    recorder.record()
    assert recorder.trouble
    folder.unlink()
    recorder.record()
    assert recorder.trouble == ""
    assert len(raw_samples(folder, "host/load", since=now - 1, until=now + 1)) == 1


def test_a_release_under_way_is_seen_by_its_lease(stage: Stage) -> None:
    source = ReleaseSource(stage.settings)
    assert source.collect().facts.is_planned_downtime
    stage.deploy("v1")
    facts: ReleaseStatus = source.collect().facts
    assert (facts.has_users, facts.is_busy, facts.has_previous) == (True, False, False)
    stage.deploy("v2")
    stage.site.lock.acquire("deploy of v3")
    facts = source.collect().facts
    assert (facts.purpose, facts.has_previous) == ("deploy of v3", True)
    stage.site.lock.release()


def test_start_or_repair_of_the_site_names_the_slot_of_its_users(stage: Stage) -> None:
    stage.deploy("v1")
    stage.deploy("v2")
    source = ReleaseSource(stage.settings)
    before: ReleaseStatus = source.collect().facts
    assert before.active is not None
    stage.site.journal.append("site.repaired", version="v1", slot=str(before.active.other))
    assert source.collect().facts.active is before.active.other
    stage.site.journal.append("site.up", version="v2", slot=str(before.active))
    assert source.collect().facts.active is before.active


def test_start_of_the_site_after_a_rollback_leaves_the_idle_slot_empty(stage: Stage) -> None:
    stage.deploy("v1")
    stage.deploy("v2")
    source = ReleaseSource(stage.settings)
    stage.site.journal.append("site.up", version="v2", slot="green")
    assert source.collect().facts.has_previous
    stage.site.journal.append(
        "release.started",
        release="back",
        kind="rollback",
        version="v1",
        slot="blue",
        from_slot="green",
        proxy_was_running=True,
    )
    stage.site.journal.append("release.finished", release="back", outcome="promoted", slot="blue", version="v1")
    assert source.collect().facts.has_previous
    stage.site.journal.append("site.up", version="v1", slot="blue")
    assert not source.collect().facts.has_previous


def test_the_last_act_of_the_supervisor_is_named(stage: Stage) -> None:
    stage.deploy("v1")
    assert last_supervision(stage.site.journal.entries()) is None
    stage.site.journal.append("site.supervised", parts=["green (v1), which stood by, ended"])
    stage.site.journal.append("site.crash_loop", part="users", what="the proxy does not run")
    assert (found := last_supervision(stage.site.journal.entries())) is not None
    assert found.text == "a crash loop: the proxy does not run"


def test_the_last_change_is_named_with_its_version(stage: Stage) -> None:
    stage.deploy("v1")
    stage.deploy("v2")
    change = last_change(stage.site.journal.entries())
    assert change is not None
    assert change.text == "v2 was promoted"
    assert change.at == pytest.approx(stage.clock.wall(), abs=5)
    stage.site.journal.append("site.down", stopped=[])
    assert (change := last_change(stage.site.journal.entries())) is not None
    assert change.text == "the site was taken down"


def test_a_release_that_died_is_told(stage: Stage) -> None:
    stage.deploy("v1")
    assert stage.die_at(30, lambda: stage.deploy("v2"))
    left = ReleaseSource(stage.settings).collect().facts.left
    assert "v2" in left
    assert "died" in left


def test_a_history_that_cannot_be_read_is_a_failure_of_the_source(tmp_path: Path) -> None:
    settings = Settings(root=tmp_path)
    Journal(settings.history).append("site.down")
    settings.history.unlink()
    settings.history.mkdir()
    with pytest.raises(Exception, match="history"):
        ReleaseSource(settings).collect()


def test_the_watchdog_is_fed_after_a_round_of_probes_and_not_without(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    fed: list[int] = []
    settings = Settings(root=tmp_path)
    address = Address("127.0.0.1", port)
    source = RoundSource(ProbeTarget.USERS, settings, lambda: address, on_round=lambda: fed.append(1))
    source.collect()
    assert fed == [1]

    def unknown() -> Address:
        raise PlatformError("the slots cannot be seen")

    blind = RoundSource(ProbeTarget.USERS, settings, unknown, on_round=lambda: fed.append(2))
    with pytest.raises(PlatformError):
        blind.collect()
    assert fed == [1]


LINE = '10.0.0.1 - - [29/Nov/2026:14:00:00 +0000] "{request}" {status} 12 "-" "{agent}"\n'


def line(status: int, *, request: str = "GET / HTTP/1.1", agent: str = "curl/8") -> str:
    return LINE.format(request=request, status=status, agent=agent)


@pytest.fixture
def traffic(tmp_path: Path) -> tuple[TrafficSource, Path, FakeClock]:
    log, clock = tmp_path / "everyday.log", FakeClock()
    log.write_text(line(500) * 10)
    source = TrafficSource(log, clock=clock)
    source.collect()
    return source, log, clock


def counted(source: TrafficSource) -> tuple[int, int]:
    facts: TrafficFacts = source.collect().facts
    return facts.windows[300]


def test_requests_since_the_start_are_counted_and_earlier_ones_are_not(
    traffic: tuple[TrafficSource, Path, FakeClock],
) -> None:
    source, log, _ = traffic
    with log.open("a") as file:
        file.write(
            line(200) * 3
            + line(502)
            + line(404)
            + line(200, agent="cakravia-monitor")
            + line(200, agent="cakravia-verify")
            + "half a li"
        )
    assert counted(source) == (1, 5)
    with log.open("a") as file:
        file.write("ne\n" + line(503, request="GET /\\x22 500 HTTP/1.1"))
    assert counted(source) == (2, 6)


def test_answers_of_a_maintenance_are_no_failures(tmp_path: Path) -> None:
    log, clock = tmp_path / "everyday.log", FakeClock()
    log.write_text("")
    maintenance = [Maintenance(clock.wall(), "ops", clock.wall() + 5)]
    source = TrafficSource(log, maintenance=lambda: maintenance[0], clock=clock)
    source.collect()
    for _ in range(2):
        clock.sleep(10)
        with log.open("a") as file:
            file.write(line(503) * 4)
    assert counted(source) == (0, 0)
    clock.sleep(10)
    with log.open("a") as file:
        file.write(line(503) * 4)
    assert counted(source) == (4, 4)


def test_a_rotated_log_is_read_from_its_start(traffic: tuple[TrafficSource, Path, FakeClock]) -> None:
    source, log, _ = traffic
    log.rename(log.with_suffix(".1"))
    assert counted(source) == (0, 0)
    log.write_text(line(500) * 2)
    assert counted(source) == (2, 2)


def test_requests_leave_the_window_with_time(traffic: tuple[TrafficSource, Path, FakeClock]) -> None:
    source, log, clock = traffic
    with log.open("a") as file:
        file.write(line(500) * 4)
    assert counted(source) == (4, 4)
    clock.now += 301
    assert counted(source) == (0, 0)


def test_a_burst_is_read_in_bounded_parts(traffic: tuple[TrafficSource, Path, FakeClock]) -> None:
    source, log, _ = traffic
    number = MOST_BYTES // len(line(200)) * 2
    with log.open("a") as file:
        file.write(line(200) * number)
    first = counted(source)[1]
    assert 0 < first < number
    while (now := counted(source)[1]) != first:
        first = now
    assert first == number


def test_the_machine_reports_each_disk_once(tmp_path: Path) -> None:
    facts: HostFacts = HostSource((tmp_path, tmp_path / "not" / "yet", Path("/proc"))).collect().facts
    assert 1 <= len(facts.disks) <= 2
    assert all(0 <= share <= 1 for share in facts.disks.values())


def test_a_refusal_shows_that_the_machine_is_online() -> None:
    (port,) = free_ports(1)
    facts: VantageFacts = VantageSource((f"127.0.0.1:{port}",)).collect().facts
    assert facts.is_online


def test_a_place_that_does_not_answer_is_offline_with_its_reason() -> None:
    facts: VantageFacts = VantageSource(("no-such-host.invalid:80",)).collect().facts
    assert not facts.is_online
    assert "no-such-host.invalid" in facts.detail


def test_the_default_gateway_is_read_from_the_routing_table(tmp_path: Path) -> None:
    table = tmp_path / "route"
    table.write_text(
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\n"
        "eth0\t0000FEA9\t00000000\t0001\t0\t0\t0\t0000FFFF\n"
        "eth0\t00000000\t0100A8C0\t0003\t0\t0\t0\t00000000\n"
    )
    assert default_gateway(table) == "192.168.0.1"
    assert default_gateway(tmp_path / "nothing") is None
