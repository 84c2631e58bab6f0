"""Compression by the real nginx: what is compressed, and what passes as the application sent it."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import socket
import threading
import zlib
from collections.abc import Iterator

import pytest

from cakravia_verify.slots import Address, Colour
from tests.platforms.process.nginx.conftest import Answered, Front, deadline

ACCEPTS = {"Accept-Encoding": "gzip"}


def started(front: Front, upstream: Address | None = None) -> None:
    proxy = front.nginx(gzip=True)
    if upstream is not None:
        proxy._configuration.upstreams[Colour.BLUE] = upstream
    proxy.start(Colour.BLUE, deadline=deadline())


def ask(front: Front, *answer_with: str, accepts: str = "", size: int = 3000) -> Answered:
    """Return an answer with these headers. The application's answer contains `size` bytes from the request."""
    connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=10)
    with contextlib.closing(connection):
        connection.putrequest("GET", "/", skip_accept_encoding=True)
        for each in answer_with:
            connection.putheader("X-Answer-With", each)
        connection.putheader("X-Padding", "x" * size)
        connection.putheader("Accept-Encoding", accepts)
        connection.endheaders()
        answer = connection.getresponse()
        return Answered(answer.status, answer.headers, answer.read())


def test_json_is_compressed_for_a_client_that_accepts_it(front: Front) -> None:
    started(front)
    answer = ask(front, "Content-Type: application/json", 'ETag: "a1"', accepts="gzip")
    assert (answer.headers["Content-Encoding"], answer.headers["Vary"]) == ("gzip", "Accept-Encoding")
    assert answer.headers["ETag"] == 'W/"a1"'
    assert len(json.loads(gzip.decompress(answer.body))["headers"]["X-Padding"]) == 3000
    plain = ask(front, "Content-Type: application/json", 'ETag: "a1"')
    assert (plain.headers["Content-Encoding"], plain.headers["ETag"]) == (None, '"a1"')
    assert plain.slot == "blue"


def test_what_gains_nothing_or_is_a_part_passes_as_it_was_sent(front: Front) -> None:
    started(front)
    for given in (
        ("Content-Type: image/png",),
        ("Content-Type: text/event-stream",),
        ("Content-Type: application/x-ndjson",),
        ("Content-Type: application/json", "Content-Encoding: br"),
        ("Content-Type: application/json", "Content-Encoding: identity"),
    ):
        answer = ask(front, *given, 'ETag: "a1"', "Accept-Ranges: bytes", accepts="gzip")
        assert (answer.headers["ETag"], answer.headers["Accept-Ranges"]) == ('"a1"', "bytes"), given
        assert answer.slot == "blue"
    assert ask(front, "Content-Type: application/json", size=10, accepts="gzip").headers["Content-Encoding"] is None
    part = front.ask(
        "/status/206",
        headers={
            **ACCEPTS,
            "Range": "bytes=0-4999",
            "X-Answer-With": "Content-Type: application/json",
            "X-P": "x" * 3000,
        },
    )
    assert (part.status, part.headers["Content-Encoding"], part.slot) == (206, None, "blue")


@pytest.fixture
def page() -> Iterator[tuple[Address, threading.Event]]:
    """A slot that sends a page in two pieces, the second one after the event."""
    may_go_on = threading.Event()
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as slot:

        def serve() -> None:
            connection, _ = slot.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n")
                connection.sendall(b"7\r\n<first>\r\n")
                may_go_on.wait(20)
                connection.sendall(b"8\r\n<second>\r\n0\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        yield Address(*slot.getsockname()), may_go_on
        may_go_on.set()
        thread.join()


def test_the_first_piece_of_a_compressed_page_arrives_before_the_second_is_made(
    front: Front, page: tuple[Address, threading.Event]
) -> None:
    address, may_go_on = page
    started(front, address)
    connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=20)
    with contextlib.closing(connection):
        connection.request("GET", "/", headers=ACCEPTS)
        answer = connection.getresponse()
        assert answer.headers["Content-Encoding"] == "gzip"
        unpacked = zlib.decompressobj(wbits=31)
        seen = b""
        while b"<first>" not in seen:
            piece = answer.read1(1000)
            assert piece
            seen += unpacked.decompress(piece)
        assert not may_go_on.is_set()
        may_go_on.set()
        assert (seen + unpacked.decompress(answer.read()) + unpacked.flush()) == b"<first><second>"
