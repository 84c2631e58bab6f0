"""When a request is sent to a second slot, and when never."""

from __future__ import annotations

import contextlib
import http.client
import socket
from collections.abc import Iterator

import pytest

from cakravia_verify.platforms.process.nginx import LocalNginx
from cakravia_verify.slots import Address, Colour
from tests.platforms.process.nginx.conftest import Front, ask_over, deadline

ALL_METHODS = ("GET", "OPTIONS", "PUT", "DELETE", "PATCH", "POST")
WRITES = ("PUT", "DELETE", "PATCH", "POST")


@contextlib.contextmanager
def unreachable_address() -> Iterator[Address]:
    """Yield an address that drops every attempt to connect, as the address of a vanished container does."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield Address("127.0.0.1", listener.getsockname()[1])


@pytest.fixture
def impatient(front: Front) -> LocalNginx:
    """A proxy on blue with failover and short timeouts."""
    proxy = front.nginx(read_timeout=0.4, connect_timeout=0.4, workers=1)
    proxy.start(Colour.BLUE, deadline=deadline())
    proxy.set_failover(allowed=True)
    return proxy


@pytest.mark.parametrize("method", ALL_METHODS)
def test_a_request_slower_than_the_timeout_runs_once(front: Front, impatient: LocalNginx, method: str) -> None:
    answer = front.ask("/slow", method=method)
    assert answer.status == 504
    assert front.blue.seen + front.green.seen == [f"{method} /slow"]


@pytest.mark.parametrize("method", ALL_METHODS)
def test_a_request_that_breaks_after_it_was_sent_runs_once(front: Front, impatient: LocalNginx, method: str) -> None:
    assert front.ask("/breaks", method=method, body=b"order").status == 502
    assert front.blue.seen + front.green.seen == [f"{method} /breaks"]


@pytest.mark.parametrize("method", WRITES)
def test_a_write_that_breaks_on_a_kept_connection_runs_once(front: Front, impatient: LocalNginx, method: str) -> None:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", front.port, timeout=10)) as connection:
        for _ in range(3):
            assert ask_over(connection, "/").slot == "blue"
        front.blue.seen.clear()
        assert ask_over(connection, "/breaks", method=method, body=b"order").status == 502
    assert front.blue.seen + front.green.seen == [f"{method} /breaks"]


@pytest.mark.parametrize("method", ALL_METHODS)
def test_a_slot_that_refuses_connections_is_replaced_by_the_other(
    front: Front, impatient: LocalNginx, method: str
) -> None:
    front.blue.end()
    answer = front.ask("/", method=method, body=b"order")
    assert (answer.slot, answer.served_slot) == ("green", ["green"])
    assert front.green.seen == [f"{method} /"]


@pytest.mark.parametrize("method", ALL_METHODS)
def test_a_slot_whose_address_vanished_is_replaced_by_the_other(front: Front, method: str) -> None:
    body = b"order" * 100_000
    with unreachable_address() as gone:
        proxy = front.nginx(connect_timeout=0.4)
        proxy._configuration.upstreams[Colour.BLUE] = gone
        proxy.start(Colour.BLUE, deadline=deadline())
        assert front.ask("/", method=method, body=body).status == 504
        proxy.set_failover(allowed=True)
        answer = front.ask("/", method=method, body=body)
    assert answer.slot == "green"
    assert f'"received": {len(body)}'.encode() in answer.body


def test_without_failover_a_refused_connection_is_not_tried_again(front: Front, impatient: LocalNginx) -> None:
    impatient.set_failover(allowed=False)
    front.blue.end()
    assert front.ask("/", headers={"X-Request-ID": "run-1"}).status == 502
    assert front.green.seen == []


def test_an_error_status_of_the_application_is_never_asked_again(front: Front, impatient: LocalNginx) -> None:
    for status in (418, 500, 502, 503, 504):
        answer = front.ask(f"/status/{status}")
        assert (answer.status, answer.slot) == (status, "blue")
    assert front.green.seen == []
