"""A slot that is told to stop answers everything it has taken on."""

from __future__ import annotations

import signal
import socket
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import sha256
from typing import TYPE_CHECKING

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.examples.conftest import SlotProcess


@pytest.fixture
def aside() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as threads:
        yield threads


def _begin(aside: ThreadPoolExecutor, slot: SlotProcess, path: str) -> Future[httpx.Response]:
    """A request that is being answered."""
    answer = aside.submit(_get, slot, path)
    slot.wait_for(f"{path} is in flight", lambda: slot.in_flight() == 1)
    return answer


def _get(slot: SlotProcess, path: str) -> httpx.Response:
    """An answer over a connection of its own."""
    with httpx.Client(base_url=slot.client.base_url, verify=False, timeout=10) as client:  # noqa: S501 - plain HTTP
        return client.get(path)


def _read_all(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def _is_refused(slot: SlotProcess) -> bool:
    try:
        socket.create_connection(slot.address, timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


def test_an_idle_slot_stops_with_status_0(serve: Callable[..., SlotProcess]) -> None:
    slot = serve().ready()
    slot.send()
    assert slot.exit_status() == 0


def test_ctrl_c_drains_as_sigterm_does(serve: Callable[..., SlotProcess]) -> None:
    slot = serve().ready()
    slot.send(signal.SIGINT)
    assert slot.exit_status() == 0


def test_a_slow_request_in_flight_is_answered_and_the_connection_closed(
    serve: Callable[..., SlotProcess], aside: ThreadPoolExecutor
) -> None:
    slot = serve().ready()
    slow = _begin(aside, slot, "/api/slow?seconds=0.8")
    slot.send()
    assert slow.result().json() == {"seconds": 0.8}
    assert slow.result().headers["connection"] == "close"
    assert slot.exit_status() == 0


def test_new_connections_are_refused_while_draining(
    serve: Callable[..., SlotProcess], aside: ThreadPoolExecutor
) -> None:
    slot = serve().ready()
    slow = _begin(aside, slot, "/api/slow?seconds=1.5")
    slot.send()
    slot.wait_for("new connections are refused", lambda: _is_refused(slot))
    assert slow.result().status_code == 200


def test_a_request_over_an_idle_connection_is_answered_with_connection_close(
    serve: Callable[..., SlotProcess], aside: ThreadPoolExecutor
) -> None:
    slot = serve(DRAIN_IDLE_SECONDS="8").ready()
    slow = _begin(aside, slot, "/api/slow?seconds=1")
    slot.send()
    slot.wait_for("the drain has begun", lambda: "draining" in slot.output)
    answer = slot.client.get("/")
    assert (answer.status_code, answer.headers["connection"]) == (200, "close")
    assert slow.result().status_code == 200
    assert slot.exit_status() == 0


def test_an_idle_connection_does_not_hold_up_the_drain(serve: Callable[..., SlotProcess]) -> None:
    slot = serve(KEEP_ALIVE="60", DRAIN_SECONDS="60", DRAIN_IDLE_SECONDS="0.1").ready()
    with socket.create_connection(slot.address, timeout=10) as silent:
        slot.client.get("/")
        slot.send()
        assert silent.recv(1) == b""
        assert slot.exit_status() == 0


def test_connections_the_kernel_had_queued_are_answered(serve: Callable[..., SlotProcess]) -> None:
    slot = serve().ready()
    slot.send(signal.SIGSTOP)
    queued = [socket.create_connection(slot.address, timeout=10) for _ in range(50)]
    for connection in queued:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    slot.send(signal.SIGTERM)
    slot.send(signal.SIGCONT)
    answers = [_read_all(connection) for connection in queued]
    for connection in queued:
        connection.close()
    assert [answer[:15] for answer in answers] == [b"HTTP/1.1 200 OK"] * 50
    assert slot.exit_status() == 0


def test_an_upload_in_flight_is_taken(serve: Callable[..., SlotProcess]) -> None:
    slot = serve().ready()
    body = b"x" * 200_000
    with socket.create_connection(slot.address, timeout=10) as connection:
        connection.sendall(b"POST /api/upload HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n" + body[:1000])
        slot.wait_for("the upload is in flight", lambda: slot.in_flight() == 1)
        slot.send()
        slot.wait_for("the drain has begun", lambda: "draining" in slot.output)
        connection.sendall(body[1000:])
        answer = _read_all(connection)
    assert sha256(body).hexdigest().encode() in answer
    assert slot.exit_status() == 0


def test_a_request_half_received_is_answered(serve: Callable[..., SlotProcess]) -> None:
    slot = serve(DRAIN_IDLE_SECONDS="0").ready()
    with socket.create_connection(slot.address, timeout=10) as connection:
        connection.sendall(b"GET /api/slow?seconds=0 HTTP/1.1\r\nHo")
        slot.client.get("/")  # answered after the half request was read
        slot.send()
        slot.wait_for("new connections are refused", lambda: _is_refused(slot))
        connection.sendall(b"st: a\r\n\r\n")
        assert _read_all(connection).startswith(b"HTTP/1.1 200")
    assert slot.exit_status() == 0


def test_a_download_in_flight_is_complete(serve: Callable[..., SlotProcess]) -> None:
    slot = serve().ready()
    with slot.client.stream("GET", "/api/download?bytes=30000000") as answer:
        received = answer.iter_raw()
        digest = sha256(next(received))
        slot.send()
        slot.wait_for("the drain has begun", lambda: "draining" in slot.output)
        for part in received:
            digest.update(part)
    assert digest.hexdigest() == answer.headers["x-content-sha256"]
    assert slot.exit_status() == 0


def test_an_event_stream_ends_with_its_last_event(serve: Callable[..., SlotProcess]) -> None:
    slot = serve().ready()
    with slot.client.stream("GET", "/api/events?seconds=600") as answer:
        received = answer.iter_text()
        text = next(received)
        slot.send()
        text += "".join(received)
    assert '"reason": "draining"' in text
    assert slot.exit_status() == 0


def test_a_long_poll_is_answered_early(serve: Callable[..., SlotProcess], aside: ThreadPoolExecutor) -> None:
    slot = serve().ready()
    waiting = _begin(aside, slot, "/api/poll?seconds=60")
    slot.send()
    assert waiting.result().json() == {"news": [], "reason": "draining"}
    assert slot.exit_status() == 0


def test_a_websocket_is_told_that_the_service_restarts(serve: Callable[..., SlotProcess]) -> None:
    slot = serve().ready()
    with connect(f"ws://{slot.address[0]}:{slot.address[1]}/api/ws") as websocket:
        websocket.send("before")
        assert websocket.recv(timeout=10) == "before"
        slot.send()
        with pytest.raises(ConnectionClosed) as closed:
            websocket.recv(timeout=10)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012
    assert slot.exit_status() == 0


def test_told_twice_it_stops_at_once(serve: Callable[..., SlotProcess], aside: ThreadPoolExecutor) -> None:
    slot = serve().ready()
    slow = _begin(aside, slot, "/api/slow?seconds=60")
    slot.send()
    slot.wait_for("the drain has begun", lambda: "draining" in slot.output)
    slot.send()
    assert slot.exit_status() == 143
    assert isinstance(slow.exception(), httpx.TransportError)


def test_a_drain_out_of_time_cuts_and_says_so(serve: Callable[..., SlotProcess], aside: ThreadPoolExecutor) -> None:
    slot = serve(DRAIN_SECONDS="0.2").ready()
    slow = _begin(aside, slot, "/api/slow?seconds=60")
    slot.send()
    assert slot.exit_status() == 1
    assert isinstance(slow.exception(), httpx.TransportError)
    assert "1 cut" in slot.output
