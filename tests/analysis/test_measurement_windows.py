"""From a ledger with one switch to the windows around it and the longest silences."""

from __future__ import annotations

from typing import Any

import pytest

from cakravia_verify.analysis.measurement import measure
from cakravia_verify.analysis.model import Measurement
from cakravia_verify.analysis.run_timeline import RunTimeline
from cakravia_verify.proxy.protocol import Switchover
from cakravia_verify.slots import Colour
from cakravia_verify.system.clock import Microseconds
from tests.traffic.ledger.ledger_files import Run, request

EVERY = 10_000
SIDE = 400
AT = SIDE * EVERY
STREAM_SECONDS = 3
TIMELINE = RunTimeline(
    touched=Microseconds(0),
    switchovers=(Switchover(Colour.GREEN, Microseconds(AT), Microseconds(AT)),),
    until=None,
    rate=1e6 / EVERY,
    streams=("events",),
)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measurement:
    """100 requests/s answered within 2 ms, every tenth of them a stream held for 3 s; connection 1 loses four in a row
    after the switch."""
    rows = []
    for number in range(2 * SIDE):
        planned = number * EVERY
        slot = "blue" if number < SIDE else "green"
        facts: dict[str, Any] = {"planned": planned, "started": planned, "sent": planned, "done": planned + 2_000}
        facts |= {"connection": number % 4, "slot": slot, "served_slot": slot, "version": slot}
        if number % 10 == 0:
            facts |= {"name": "events", "connection": 1_000 + number, "done": planned + STREAM_SECONDS * 1_000_000}
        if number % 4 == 1 and number % 10 and SIDE < number < SIDE + 16:
            facts |= {"outcome": "lost", "done": None, "status": None}
        rows.append(request(number, **facts))
    with Run(tmp_path_factory.mktemp("windows"), rows).build() as ledger:
        return measure(ledger, TIMELINE, has_application=False)


def test_the_latency_of_every_window_leaves_streams_out(measured: Measurement) -> None:
    assert [window.name.split()[0] for window in measured.windows] == ["before", "during", "after"]
    assert sum(window.requests for window in measured.windows) == 2 * SIDE
    assert all(window.p99 == pytest.approx(0.002, rel=0.01) for window in measured.windows)
    assert measured.measured.p99 == pytest.approx(0.002, rel=0.01)
    assert measured.figures["streams"] == "events"


def test_losses_stand_in_the_window_they_happened_in(measured: Measurement) -> None:
    assert [window.lost for window in measured.windows] == [0, 4, 0]


def test_silence_is_told_of_all_clients_and_of_the_one_that_waited_longest(measured: Measurement) -> None:
    one = measured.figures["longest_silence_of_one_client"]
    assert isinstance(one, dict)
    assert (one["connection"], one["failed"]) == (1, 4)
    assert one["seconds"] > (measured.measured.longest_gap or 0) > 0


def test_no_window_is_silent_before_the_run_or_after_it(measured: Measurement) -> None:
    assert all(window.longest_gap is not None and window.longest_gap < 0.1 for window in measured.windows)
