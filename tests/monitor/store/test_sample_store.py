"""The store on a real disk: roll-ups, retention, readers beside the writer, and a corrupt file."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cakravia_verify.monitor.store.query import points, raw_samples, series_names, whole_of
from cakravia_verify.monitor.store.sample_store import FILE_NAME, Retention, SampleStore
from cakravia_verify.monitor.store.samples import MetricSample, Phases, ProbeOutcome
from cakravia_verify.testing.memory import FakeClock

NAME = "probe/proxy/health"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(0.0)


@pytest.fixture
def store(tmp_path: Path, clock: FakeClock) -> Iterator[SampleStore]:
    opened = SampleStore(tmp_path, clock=clock)
    yield opened
    opened.close()


def probe(at: float, value: float = 0.01, *, outcome: ProbeOutcome = ProbeOutcome.OK, name: str = NAME) -> MetricSample:
    return MetricSample(name, at, value, outcome, 200, Phases(connect=0.001, first_byte=0.005))


def fill(store: SampleStore, *, since: float, seconds: int, every: int = 2) -> None:
    for start in range(0, seconds, 60):
        store.add(probe(since + start + second) for second in range(0, 60, every))


def test_single_samples_are_read_back_with_their_phases(store: SampleStore, tmp_path: Path, clock: FakeClock) -> None:
    now = clock.wall()
    store.add([probe(now), probe(now + 2, outcome=ProbeOutcome.STATUS)])
    first, second = raw_samples(tmp_path, NAME, since=now - 1, until=now + 10)
    assert first.phases == Phases(connect=0.001, first_byte=0.005)
    assert (first.is_bad, second.is_bad) == (False, True)


def test_minutes_written_in_parts_hold_every_sample(store: SampleStore, tmp_path: Path, clock: FakeClock) -> None:
    start = clock.wall() // 3600 * 3600
    for second in range(0, 120, 2):
        store.add([probe(start + second)])
    counts = [point.aggregate.count for point in points(tmp_path, NAME, since=start, until=start + 119)]
    assert counts == [30, 30]


def test_a_restarted_monitor_goes_on_in_the_same_minute(tmp_path: Path, clock: FakeClock) -> None:
    start = clock.wall() // 3600 * 3600
    for second in (0, 10, 20):
        store = SampleStore(tmp_path, clock=clock)
        store.add([probe(start + second)])
        store.close()
    (point,) = points(tmp_path, NAME, since=start, until=start + 59)
    assert point.aggregate.count == 3


def test_a_span_beyond_the_kept_minutes_is_answered_from_hours(tmp_path: Path, clock: FakeClock) -> None:
    store = SampleStore(tmp_path, retention=Retention(raw=600, minutes=1200), clock=clock)
    start = clock.wall() // 3600 * 3600
    fill(store, since=start, seconds=3600)
    clock.now += 86_400
    store.prune()
    store.close()
    assert raw_samples(tmp_path, NAME, since=start, until=start + 7200) == ()
    assert whole_of(tmp_path, NAME, since=start, until=start + 3599).count == 1800


def test_young_rows_survive_pruning_by_age(tmp_path: Path, clock: FakeClock) -> None:
    store = SampleStore(tmp_path, retention=Retention(raw=600), clock=clock)
    start = clock.wall()
    fill(store, since=start, seconds=1200)
    clock.now += 1200
    store.prune()
    store.close()
    kept = raw_samples(tmp_path, NAME, since=start, until=start + 1200)
    assert kept[0].at - start == pytest.approx(600, abs=61)
    assert len(kept) >= 300


def test_the_file_shrinks_below_its_size_bound(tmp_path: Path, clock: FakeClock) -> None:
    store = SampleStore(tmp_path, retention=Retention(most_bytes=300_000), clock=clock)
    for hour in range(24):
        fill(store, since=clock.wall() + hour * 3600, seconds=3600, every=1)
    before = (tmp_path / FILE_NAME).stat().st_size
    store.prune()
    assert store._used_bytes() <= 300_000 < before
    store.close()


@pytest.mark.parametrize("damage", [b"no database at all", b""], ids=["overwritten", "zeroes inside"])
def test_a_corrupt_file_is_set_aside_and_recording_goes_on(damage: bytes, tmp_path: Path, clock: FakeClock) -> None:
    store = SampleStore(tmp_path, clock=clock)
    fill(store, since=clock.wall(), seconds=3600)
    store.close()
    file = tmp_path / FILE_NAME
    file.write_bytes(damage * 400 if damage else file.read_bytes()[:8192] + b"\0" * 40_000)
    again = SampleStore(tmp_path, clock=clock)
    again.add([probe(clock.wall())])
    again.close()
    assert [path.exists() for path in again.set_aside] == [True]
    assert len(raw_samples(tmp_path, NAME, since=0, until=clock.wall() + 1)) == 1


def test_corruption_while_the_monitor_runs_loses_no_new_sample(
    store: SampleStore, tmp_path: Path, clock: FakeClock
) -> None:
    fill(store, since=clock.wall(), seconds=3600)
    store._database.maintain(lambda connection: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())
    size = (tmp_path / FILE_NAME).stat().st_size
    with (tmp_path / FILE_NAME).open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    store._database.maintain(lambda connection: connection.execute("PRAGMA shrink_memory").fetchall())
    for second in range(3):
        store.add([probe(clock.wall() + 7200 + second)])
    assert len(store.set_aside) == 1
    assert len(raw_samples(tmp_path, NAME, since=clock.wall() + 7199, until=clock.wall() + 7300)) == 3


def test_a_full_disk_raises_and_keeps_what_was_there(store: SampleStore, tmp_path: Path, clock: FakeClock) -> None:
    store.add([probe(clock.wall())])
    store._database.maintain(lambda connection: connection.execute("PRAGMA max_page_count = 8").fetchall())
    with pytest.raises(sqlite3.OperationalError, match="full"):
        fill(store, since=clock.wall() + 60, seconds=36_000, every=1)
    assert store.set_aside == ()
    assert raw_samples(tmp_path, NAME, since=clock.wall() - 1, until=clock.wall())


def test_a_reader_sees_whole_batches_while_another_is_written(
    store: SampleStore, tmp_path: Path, clock: FakeClock
) -> None:
    start, done = clock.wall(), threading.Event()
    store.add([probe(start)])

    def write() -> None:
        for batch in range(1, 60):
            store.add(probe(start + batch * 60 + second) for second in range(10))
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = []
    while not done.is_set():
        seen.append(len(raw_samples(tmp_path, NAME, since=0, until=start + 86_400)))
    writer.join()
    assert all(count % 10 == 1 for count in seen)


def test_a_site_that_was_never_monitored_has_no_samples(tmp_path: Path) -> None:
    assert series_names(tmp_path) == ()
    assert whole_of(tmp_path, NAME, since=0, until=1e10).count == 0
    assert not (tmp_path / FILE_NAME).exists()


def test_series_without_end_are_bounded(store: SampleStore, tmp_path: Path, clock: FakeClock) -> None:
    store.add(probe(clock.wall(), name=f"series-{number}") for number in range(600))
    assert len(series_names(tmp_path)) == 500
