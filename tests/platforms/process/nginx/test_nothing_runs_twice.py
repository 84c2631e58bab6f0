"""When a request is sent to a second slot, and when never."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from cakravia_verify.platforms.process.nginx import LocalNginx
from cakravia_verify.slots import Colour
from cakravia_verify.system.clock import poll
from tests.platforms.process.nginx.conftest import Backend, Front, ask_over, deadline
from tests.unreachable import unreachable_address

ALL_METHODS = ("GET", "OPTIONS", "PUT", "DELETE", "PATCH", "POST")
WRITES = ("PUT", "DELETE", "PATCH", "POST")


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


def upstreams_logged(proxy: LocalNginx) -> dict[str, str]:
    """Return which addresses were tried for each measured request."""
    rows = [json.loads(line) for line in proxy.access_log.read_text().splitlines()]
    return {row["id"]: row["upstream"] for row in rows}


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_slot_whose_address_vanished_is_not_tried_by_each_request(front: Front, method: str) -> None:
    with unreachable_address() as gone:
        proxy = front.nginx(workers=1)
        proxy._configuration.upstreams[Colour.BLUE] = gone
        proxy.start(Colour.BLUE, deadline=deadline())
        proxy.set_failover(allowed=True)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda number: front.ask(f"/{number}", method=method), range(8)))
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", front.port, timeout=10)) as user:
            user.connect()
            kept = user.sock
            ids = [{"X-Request-ID": f"run-{number}"} for number in range(50)]
            answers = [ask_over(user, "/", method=method, headers=each) for each in ids]
            assert user.sock is kept, "the user's connection was closed"
        poll(lambda: len(upstreams_logged(proxy)) == 50, deadline=deadline())
    assert {(each.status, each.slot, str(each.served_slot)) for each in answers} == {(200, "green", "['green']")}
    assert [tried for tried in upstreams_logged(proxy).values() if str(gone) in tried] == []


def test_a_slow_answer_does_not_move_other_requests_to_the_other_slot(front: Front, impatient: LocalNginx) -> None:
    with ThreadPoolExecutor(6) as pool:
        slow = [pool.submit(front.ask, "/slow", method=method) for method in ("GET", "POST") * 3]
        assert {each.result().status for each in slow} == {504}
    answers = [front.ask("/", method="POST", headers={"X-Request-ID": f"run-{n}"}) for n in range(20)]
    assert {each.slot for each in answers} == {"blue"}
    poll(lambda: len(upstreams_logged(impatient)) == 20, deadline=deadline())
    assert set(upstreams_logged(impatient).values()) == {str(front.blue.address)}


def test_a_slot_that_comes_back_gets_its_requests_again(front: Front, impatient: LocalNginx) -> None:
    address = front.blue.address
    front.blue.end()
    assert [front.ask("/", method=method).slot for method in ("GET", "POST") * 5] == ["green"] * 10
    front.blue = Backend("blue", port=address.port)
    impatient.set_failover(allowed=False)
    assert [front.ask("/", method=method).slot for method in ("GET", "POST") * 5] == ["blue"] * 10


def test_requests_that_the_other_slot_answered_are_counted(front: Front) -> None:
    proxy = front.nginx()
    proxy.start(Colour.BLUE, deadline=deadline())
    proxy.set_failover(allowed=True)
    assert front.ask().slot == "blue"
    usage = proxy.usage()
    assert usage is not None
    assert (usage.stand_ins, usage.stand_ins_today, usage.is_nearly_full) == (0, 0, False)
    front.blue.end()
    assert [front.ask(method=method).slot for method in ("GET", "POST", "GET")] == ["green"] * 3
    # nginx writes the line after the answer.
    poll(lambda: (seen := proxy.usage()) and (seen.stand_ins, seen.stand_ins_today) == (3, 3), deadline=deadline())
    assert (front.folder / "error.log").read_text().count("uninitialized") == 0


def test_connections_of_the_fullest_worker_are_counted(front: Front) -> None:
    proxy = front.nginx(workers=1, connections=128)
    proxy.start(Colour.BLUE, deadline=deadline())
    with contextlib.ExitStack() as stack:
        for _ in range(110):
            stack.enter_context(socket.create_connection(("127.0.0.1", front.port), timeout=10))
        poll(lambda: (seen := proxy.usage()) and seen.connections >= 110 and seen.is_nearly_full, deadline=deadline())
    usage = proxy.usage()
    assert usage is not None
    assert usage.limit == 128
