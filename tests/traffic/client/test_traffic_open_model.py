"""Latency counts from the planned instant, so a stall cannot hide behind clients that wait."""

from __future__ import annotations

import math
import socket
import threading
import time
from typing import TYPE_CHECKING

import gevent
import pytest

from cakravia_verify.system.clock import Microseconds
from cakravia_verify.traffic.plan.mix import MixEntry

if TYPE_CHECKING:
    from tests.traffic.client.conftest import RunLoad, Serve

pytestmark = pytest.mark.quiet

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


@pytest.mark.parametrize("growth", [1.0, 4.0])
def test_the_p99_of_a_stall_is_within_5_percent_of_the_analytic_value(
    serve: Serve, run_load: RunLoad, growth: float
) -> None:
    running = threading.Event()
    running.set()
    stalled: list[float] = []

    def handle(accepted: socket.socket, number: int, head: bytes, body: bytes) -> bool:
        running.wait(10)
        accepted.sendall(OK)
        return True

    def stall() -> None:
        gevent.sleep(0.7)
        running.clear()
        stalled.append(time.monotonic())
        gevent.sleep(1.8)
        stalled.append(time.monotonic())
        running.set()

    load = run_load(
        3.5,
        during=stall,
        url=serve(handle).url,
        mix=(MixEntry("x"),),
        users=8,
        growth=growth,
        rate=200.0,
        arrivals="constant",
    )
    latencies = sorted(row.ended - row.planned for row in load.rows)
    p99 = latencies[math.ceil(0.99 * len(latencies)) - 1] / 1e6
    # Arrivals are even, so the latencies of those planned during the stall S are even between 0 and S; of a run of
    # D seconds, the one percent that waited longest is what was planned in the first 0.01 D of the stall.
    seconds = len(load.rows) / 200.0
    assert p99 == pytest.approx(stalled[1] - stalled[0] - 0.01 * seconds, rel=0.05)


def test_late_arrivals_are_sent_late_and_never_dropped(serve: Serve, run_load: RunLoad) -> None:
    def handle(accepted: socket.socket, number: int, head: bytes, body: bytes) -> bool:
        if number == 5:
            time.sleep(0.3)
        accepted.sendall(OK)
        return True

    load = run_load(
        1.0, url=serve(handle).url, mix=(MixEntry("x"),), users=1, growth=1.0, rate=200.0, arrivals="constant"
    )
    assert [int(row.id.rpartition("-")[2]) for row in load.rows] == list(range(len(load.rows)))
    assert load.summary["planned"] == len(load.rows) + int(str(load.summary["never_started"]))
    assert max(row.started - row.planned for row in load.rows) >= Microseconds(250_000)


def test_the_pool_grows_when_every_connection_is_busy_and_no_further_than_planned(
    serve: Serve, run_load: RunLoad
) -> None:
    def handle(accepted: socket.socket, number: int, head: bytes, body: bytes) -> bool:
        time.sleep(0.1)
        accepted.sendall(OK)
        return True

    load = run_load(0.5, url=serve(handle).url, mix=(MixEntry("x"),), users=2, growth=3.0, rate=100.0)
    assert load.summary["users"] == 6


def test_every_connection_of_the_pool_gets_its_turn(serve: Serve, run_load: RunLoad) -> None:
    def handle(accepted: socket.socket, number: int, head: bytes, body: bytes) -> bool:
        accepted.sendall(OK)
        return True

    load = run_load(
        0.5, url=serve(handle).url, mix=(MixEntry("x"),), users=20, growth=1.0, rate=200.0, arrivals="constant"
    )
    turns = [row.connection for row in load.rows]
    assert len(set(turns)) == 20
    assert all(turns.count(connection) >= 2 for connection in set(turns))


def test_arrivals_never_taken_up_are_told_by_the_summary(serve: Serve, run_load: RunLoad) -> None:
    def handle(accepted: socket.socket, number: int, head: bytes, body: bytes) -> bool:
        time.sleep(0.5)
        accepted.sendall(OK)
        return True

    load = run_load(0.3, url=serve(handle).url, mix=(MixEntry("x"),), users=1, growth=1.0, rate=100.0)
    assert int(str(load.summary["never_started"])) > 0
    assert load.summary["planned"] == load.summary["never_started"] + len(load.rows)  # type: ignore[operator]
