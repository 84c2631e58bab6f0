"""The TCP proxy between nginx and a slot does the damage that it is told to do, and none otherwise."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from cakravia_verify.faults.tcp_proxy import Detour, Trouble
from cakravia_verify.slots import Address
from tests.ports import free_ports

BODY = b"x" * 2000


class Answering:
    """A server that answers each piece with `BODY`."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = Address("127.0.0.1", self.socket.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.socket.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            while connection.recv(65_536):
                connection.sendall(BODY)


@pytest.fixture
def detour() -> Iterator[Detour]:
    server = Answering()
    (port,) = free_ports(1)
    with Detour(port, server.address) as made:
        yield made
    server.socket.close()


def connected(detour: Detour, *, timeout: float = 5.0) -> socket.socket:
    return socket.create_connection(("127.0.0.1", detour.port), timeout)


def asked(client: socket.socket, *, bytes_wanted: int = len(BODY)) -> bytes:
    client.sendall(b"GET / HTTP/1.1\r\n\r\n")
    got = b""
    while len(got) < bytes_wanted and (piece := client.recv(65_536)):
        got += piece
    return got


def test_bytes_pass_unchanged_without_trouble(detour: Detour) -> None:
    with connected(detour) as client:
        assert asked(client) == BODY
        assert asked(client) == BODY


def test_a_refusal_resets_open_connections_and_refuses_new_ones(detour: Detour) -> None:
    with connected(detour) as client:
        assert asked(client) == BODY
        with detour.troubled(Trouble(refuses=True)):
            with pytest.raises(ConnectionResetError):
                client.recv(1)
            with pytest.raises(ConnectionRefusedError):
                connected(detour)
    with connected(detour) as client:
        assert asked(client) == BODY


def test_a_cut_network_takes_no_connection_and_refuses_none(detour: Detour) -> None:
    with detour.troubled(Trouble(is_unreachable=True)), pytest.raises(TimeoutError):
        connected(detour, timeout=0.2)
    with connected(detour) as client:
        assert asked(client) == BODY


def test_a_silent_network_accepts_and_passes_nothing(detour: Detour) -> None:
    silent = detour.troubled(Trouble(is_silent=True))
    with silent, connected(detour, timeout=0.2) as client, pytest.raises(TimeoutError):
        asked(client)
    with connected(detour) as client:
        assert asked(client) == BODY


def test_half_open_connections_go_silent_and_new_ones_work(detour: Detour) -> None:
    with connected(detour, timeout=0.2) as old:
        assert asked(old) == BODY
        with detour.troubled(Trouble(silences_open=True)):
            with pytest.raises(TimeoutError):
                asked(old)
            with connected(detour) as new:
                assert asked(new) == BODY


def test_an_answer_is_reset_after_so_many_bytes(detour: Detour) -> None:
    with detour.troubled(Trouble(cut_after=500)), connected(detour) as client:
        assert len(asked(client, bytes_wanted=500)) == 500
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_each_second_request_gets_an_error_answer(detour: Detour) -> None:
    with detour.troubled(Trouble(error_every=2)), connected(detour) as client:
        assert asked(client) == BODY
        assert asked(client).startswith(b"HTTP/1.1 503 ")


def test_latency_delays_each_direction(detour: Detour) -> None:
    with detour.troubled(Trouble(delay=0.05)), connected(detour) as client:
        began = time.monotonic()
        assert asked(client) == BODY
        assert time.monotonic() - began >= 0.1


def test_a_slow_network_sends_so_many_bytes_a_second(detour: Detour) -> None:
    with detour.troubled(Trouble(rate=20_000)), connected(detour) as client:
        began = time.monotonic()
        assert asked(client) == BODY
        assert time.monotonic() - began >= 0.05
