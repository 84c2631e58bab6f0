"""Streams through the real nginx: events arrive at once, may be quiet, and end as the application ends them."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection, serve

from cakravia_verify.slots import Address, Colour
from tests.platforms.process.nginx.conftest import Front, deadline

QUIET = 1.0
SHORT = 0.4
EVENTS = {"Accept": "text/event-stream"}


class Stream(BaseHTTPRequestHandler):
    """Sends one event at once, and the last one when the server says so. The path names the framing."""

    protocol_version = "HTTP/1.1"
    server: Streaming

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        is_chunked = self.path != "/closed"
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header(*(("Transfer-Encoding", "chunked") if is_chunked else ("Connection", "close")))
        self.end_headers()
        for number, gate in enumerate((None, self.server.may_go_on)):
            if gate is not None:
                gate.wait(20)
            if self.path == "/cut" and gate is not None:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                self.close_connection = True
                return
            event = f"data: {number}\n\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event) if is_chunked else event)
        if is_chunked:
            self.wfile.write(b"0\r\n\r\n")

    do_POST = do_GET  # noqa: N815 - the name is the protocol's

    def log_message(self, *arguments: object) -> None:
        pass


class Streaming(ThreadingHTTPServer):
    """A slot that streams."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Stream)
        self.may_go_on = threading.Event()


@dataclass
class Streams:
    """A proxy in front of a slot that streams."""

    front: Front
    slot: Streaming
    opened: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def start(self, upstream: Address | None = None, **settings: Any) -> None:
        proxy = self.front.nginx(**settings)
        proxy._configuration.upstreams[Colour.BLUE] = upstream or Address("127.0.0.1", self.slot.server_port)
        proxy.start(Colour.BLUE, deadline=deadline())

    def open(
        self, path: str, *, method: str = "GET", headers: dict[str, str] | None = None
    ) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.front.port, timeout=20)
        self.opened.callback(connection.close)
        connection.request(method, path, headers=headers or {})
        return connection.getresponse()


@pytest.fixture
def streams(front: Front) -> Iterator[Streams]:
    slot = Streaming()
    thread = threading.Thread(target=slot.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    streams = Streams(front, slot)
    with streams.opened:
        yield streams
    slot.may_go_on.set()
    slot.shutdown()
    slot.server_close()
    thread.join()


@pytest.mark.parametrize("path", ["/chunked", "/closed"])
@pytest.mark.parametrize("headers", [{}, EVENTS], ids=["plain", "eventsource"])
def test_an_event_arrives_before_the_next_one_is_made(streams: Streams, path: str, headers: dict[str, str]) -> None:
    streams.start()
    answer = streams.open(path, headers=headers)
    assert answer.read1() == b"data: 0\n\n"
    streams.slot.may_go_on.set()
    assert answer.read() == b"data: 1\n\n"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_stream_of_events_may_be_quiet_longer_than_an_answer(streams: Streams, method: str) -> None:
    streams.start(read_timeout=SHORT)
    declared = streams.open("/chunked", method=method, headers=EVENTS)
    undeclared = streams.open("/chunked", method=method)
    time.sleep(QUIET)
    streams.slot.may_go_on.set()
    assert declared.read() == b"data: 0\n\ndata: 1\n\n"
    with pytest.raises(http.client.IncompleteRead):
        undeclared.read()


def test_a_stream_that_is_cut_does_not_look_complete(streams: Streams) -> None:
    streams.start()
    answer = streams.open("/cut", headers=EVENTS)
    assert answer.read1() == b"data: 0\n\n"
    streams.slot.may_go_on.set()
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        answer.read()


def test_a_stream_ends_after_its_own_timeout(streams: Streams) -> None:
    streams.start(stream_timeout=SHORT)
    with pytest.raises(http.client.IncompleteRead):
        streams.open("/chunked", headers=EVENTS).read()


def echo(connection: ServerConnection) -> None:
    for message in connection:
        connection.send(message)


@contextlib.contextmanager
def websocket_slot() -> Iterator[Address]:
    with serve(echo, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Address("127.0.0.1", server.socket.getsockname()[1])
        server.shutdown()
        thread.join()


def test_a_websocket_may_be_idle_longer_than_an_answer(streams: Streams) -> None:
    with websocket_slot() as slot:
        streams.start(slot, read_timeout=SHORT)
        with connect(f"ws://127.0.0.1:{streams.front.port}/", proxy=None, ping_interval=None) as user:
            time.sleep(QUIET)
            user.send("still there")
            assert user.recv(timeout=10) == "still there"


def test_an_idle_websocket_is_closed_after_its_own_timeout(streams: Streams) -> None:
    with websocket_slot() as slot:
        streams.start(slot, stream_timeout=SHORT)
        users = connect(f"ws://127.0.0.1:{streams.front.port}/", proxy=None, ping_interval=None)
        with users as user, pytest.raises(ConnectionClosed):
            user.recv(timeout=10)


def test_a_client_cannot_ask_a_slot_for_http2(front: Front) -> None:
    front.nginx().start(Colour.BLUE, deadline=deadline())
    sent = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAARAAAAAAAIAAAAA"}
    answer = front.ask("/", headers=sent)
    assert "Upgrade" not in json.loads(answer.body)["headers"]


@pytest.mark.parametrize("kind", ["application/grpc", "application/grpc+proto"])
def test_a_grpc_call_is_refused_by_name(front: Front, kind: str) -> None:
    front.nginx().start(Colour.BLUE, deadline=deadline())
    answer = front.ask(
        "/shop.Cart/Add", method="POST", body=b"\0\0\0\0\0", headers={"Content-Type": kind, "TE": "trailers"}
    )
    assert (answer.headers["grpc-status"], answer.headers["Content-Type"]) == ("12", "application/grpc")
    assert "gRPC is not supported" in answer.headers["grpc-message"]
    assert front.blue.seen == []


def test_grpc_web_passes(front: Front) -> None:
    front.nginx().start(Colour.BLUE, deadline=deadline())
    headers = {"Content-Type": "application/grpc-web+proto"}
    assert front.ask("/shop.Cart/Add", method="POST", body=b"\0\0\0\0\0", headers=headers).slot == "blue"
