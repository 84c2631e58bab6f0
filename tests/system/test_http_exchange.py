"""One request of ours on the wire, and its answer."""

from __future__ import annotations

import socket
import threading

import pytest

from cakravia_verify.slots import Address
from cakravia_verify.system.http_exchange import Headers, HttpRequest, HttpResponse, exchange

OK = b"HTTP/1.1 200 OK\r\nX-Served-Slot: blue\r\nVia: a\r\nVia: b\r\nContent-Length: 2\r\n\r\nok"


def asked(request: str, *, body: bytes = b"", method: str = "GET", answer: bytes = OK) -> tuple[bytes, HttpResponse]:
    """Return what a server received, and the answer as it was understood."""
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                received.append(connection.recv(65536))
                connection.sendall(answer)

        server = threading.Thread(target=serve)
        server.start()
        address = Address("127.0.0.1", listener.getsockname()[1])
        response = exchange(HttpRequest(method, address, request, {"Host": "shop.example.com"}, body), 10.0)
        server.join(10)
    return received[0], response


def test_a_request_has_its_headers_and_the_length_of_its_body() -> None:
    received, response = asked("/orders", method="POST", body=b"a=1")
    assert received == b"POST /orders HTTP/1.1\r\nHost: shop.example.com\r\nContent-Length: 3\r\n\r\na=1"
    assert (response.status, response.body) == (200, b"ok")


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("/a b", b"GET /a%20b HTTP/1.1"),
        ("/a%20b?q=1&r=[2]", b"GET /a%20b?q=1&r=[2] HTTP/1.1"),
        ("/p#part", b"GET /p HTTP/1.1"),
        ("/caf\u00e9", b"GET /caf%C3%A9 HTTP/1.1"),
        ("", b"GET / HTTP/1.1"),
    ],
)
def test_a_path_is_quoted_and_has_no_fragment(path: str, line: bytes) -> None:
    assert asked(path)[0].splitlines()[0] == line


def test_headers_of_an_answer_are_found_in_any_case_and_joined() -> None:
    headers = asked("/")[1].headers
    assert (headers["x-served-slot"], headers.get("VIA"), headers.get("Server")) == ("blue", "a, b", None)


def test_an_interim_answer_comes_before_the_answer() -> None:
    assert asked("/", answer=b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK)[1].body == b"ok"


def test_a_name_that_was_not_sent_is_in_no_headers() -> None:
    assert "Server" not in Headers([("Via", "a")])
    assert list(Headers([("Via", "a"), ("via", "b")]).items()) == [("via", "a, b")]
