"""Probes: every answer, and every way of not answering, is a reading; none is asked twice, none lasts for ever."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cakravia_verify.health.models import field_of
from cakravia_verify.health.probe import HttpProber
from cakravia_verify.settings.contract import ContractSettings
from cakravia_verify.settings.models import SiteSettings
from cakravia_verify.slots import Address
from tests.health.unread import Unread

SOMEWHERE = Address("127.0.0.1", 3001)
GOOD = {"status": "healthy", "deployment": {"slot": "green", "version": "v2"}, "application": {"in_flight": 3}}


def prober(answer: Callable[[httpx.Request], httpx.Response], **contract: Any) -> HttpProber:
    return HttpProber(ContractSettings(**contract), timeout=1, transport=Unread(answer))


def answering(status: int = 200, body: Any = None, **headers: str) -> HttpProber:
    content = body if isinstance(body, bytes) else json.dumps(GOOD if body is None else body).encode()
    return prober(lambda request: httpx.Response(status, content=content, headers=headers))


def test_a_good_answer_names_slot_and_version() -> None:
    reading = answering().read(SOMEWHERE, "health")
    assert reading.is_healthy
    assert (reading.slot, reading.version, reading.in_flight, reading.state) == ("green", "v2", 3, "healthy")
    assert reading.names(slot="green", version="v2")
    assert not reading.names(slot="blue", version="v2")


@pytest.mark.parametrize("name", ["slot", "version"])
def test_a_huge_name_in_an_answer_is_short_and_printable(name: str) -> None:
    huge = "v\x1b[2J\n::error::" + "x" * 500_000
    deployment = {**GOOD["deployment"], name: huge}  # type: ignore[dict-item]
    reading = answering(body={**GOOD, "deployment": deployment}).read(SOMEWHERE, "health")
    given_name = getattr(reading, name)
    assert len(given_name) == 100
    assert given_name.isprintable()
    assert not reading.names(slot="green", version="v2")


def test_a_check_with_a_huge_name_is_short_and_printable() -> None:
    body = {"status": "fail", "checks": [{"name": "db\n::error::" + "x" * 500_000, "status": "fail", "message": "no"}]}
    problem = answering(503, body).read(SOMEWHERE, "health").problem
    assert len(problem) < 400
    assert problem.isprintable()


def test_all_four_endpoints_are_read_once_each() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(200, json=GOOD)

    prober(answer).read_all(SOMEWHERE)
    assert asked == ["/api/health", "/api/health/ready", "/api/health/live", "/api/deployment/status"]


def test_an_application_that_hangs_is_not_asked_at_every_endpoint() -> None:
    asked: list[str] = []

    def hang(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        raise httpx.ReadTimeout("slow")

    readings = prober(hang).read_all(SOMEWHERE)
    assert [reading.is_healthy for reading in readings] == [False]
    assert asked == ["/api/health"]


def test_headers_name_slot_and_version_if_the_body_does_not() -> None:
    reading = answering(200, b"fine", **{"X-Deployment-Slot": "green", "X-Deployment-Version": "v2"}).read(
        SOMEWHERE, "health"
    )
    assert (reading.is_healthy, reading.slot, reading.version) == (True, "green", "v2")


@pytest.mark.parametrize("status", [201, 204, 301, 302, 404, 429, 500, 502, 503, 504])
def test_an_unlisted_status_code_is_not_healthy(status: int) -> None:
    reading = answering(status, Location="/elsewhere").read(SOMEWHERE, "health")
    assert not reading.is_healthy
    assert str(status) in reading.problem


@pytest.mark.parametrize("word", ["unhealthy", "down", "starting", "FAIL", "deploying", "inactive", "NOT_SERVING", 503])
def test_a_200_with_an_unhealthy_state_is_not_healthy(word: str) -> None:
    assert not answering(200, {"status": word}).read(SOMEWHERE, "health").is_healthy


@pytest.mark.parametrize("word", ["active", "inactive", "deploying"])
def test_the_status_endpoint_may_answer_active_or_inactive(word: str) -> None:
    assert answering(200, {"deployment": {"status": word}}).read(SOMEWHERE, "status").is_healthy


def test_a_degraded_application_is_up() -> None:
    assert answering(200, {"status": "degraded"}).read(SOMEWHERE, "health").is_healthy


@pytest.mark.parametrize(
    "body",
    [
        *({"status": word} for word in ("success", "warn", "running", True, 200, "serving", "no idea", "UP", "green")),
        {"status": {"code": "ok"}},
        {"ok": True},
        ["ok"],
        "fine",
        200,
    ],
)
def test_what_is_no_word_for_ill_is_healthy_with_a_healthy_code(body: Any) -> None:
    assert answering(200, body, **{"Content-Type": "application/health+json"}).read(SOMEWHERE, "health").is_healthy


@pytest.mark.parametrize(
    "body",
    [
        {"status": {"code": "error"}},
        {"status": False},
        {"ok": False},
        {"state": "out_of_service"},
        {"status": "shutting-down"},
        False,
        503,
        b"DOWN\n",
    ],
)
def test_a_word_for_ill_is_not_healthy_whatever_its_form(body: Any) -> None:
    assert not answering(200, body).read(SOMEWHERE, "health").is_healthy


def test_words_for_ill_can_be_set() -> None:
    asked = prober(lambda request: httpx.Response(200, json={"mood": "Sad"}), health_field="mood")
    assert asked.read(SOMEWHERE, "health").is_healthy
    asked = prober(
        lambda request: httpx.Response(200, json={"mood": "Sad"}), health_field="mood", unhealthy_words=("sad",)
    )
    assert asked.read(SOMEWHERE, "health").problem == "state Sad"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"DisallowedHost: 127.0.0.1:3001\nTraceback ...", "DisallowedHost: 127.0.0.1:3001"),
        (b"<html><head><title>DisallowedHost\n at /health</title></head><h1>x</h1>", "DisallowedHost at /health"),
        (b"<!doctype html><body><h1>Bad Request (400)</h1></body>", "Bad Request (400)"),
        (b"<p>no &lt;title&gt;</p>", "no <title>"),
        (b"\n\n  no\x1b[31m database\x07\x00 \r\nmore", "no[31m database"),
        (b'{\n  "detail": "no database"\n}', '{"detail": "no database"}'),
        (b"x" * 5_000, "x" * 197 + "..."),
        (b"", ""),
    ],
)
def test_a_refused_reading_shows_the_first_line_of_the_body(body: bytes, told: str) -> None:
    problem = answering(400, body).read(SOMEWHERE, "health").problem
    assert problem == (f"status 400: {told}" if told else "status 400")


def test_a_redirect_shows_where_it_leads() -> None:
    reading = answering(301, b"Moved", Location="https://shop.example.com/health").read(SOMEWHERE, "health")
    assert reading.problem == "status 301 to https://shop.example.com/health"


def recording(seen: list[httpx.Headers], folder: Path, **contract: Any) -> HttpProber:
    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers)
        return httpx.Response(401, text=f"wrong: {request.headers.get('authorization')}")

    return HttpProber(
        ContractSettings(**contract),
        timeout=1,
        site=SiteSettings(host="shop.example.com", scheme="https"),
        root=folder,
        transport=Unread(answer),
    )


def test_a_probe_asks_as_a_user_of_the_site_does(tmp_path: Path) -> None:
    seen: list[httpx.Headers] = []
    recording(seen, tmp_path, headers={"X-Team": "shop"}).read(SOMEWHERE, "health")
    assert (seen[0]["host"], seen[0]["x-forwarded-proto"], seen[0]["x-team"]) == ("shop.example.com", "https", "shop")


def test_a_host_of_a_smoke_request_replaces_that_of_the_site(tmp_path: Path) -> None:
    seen: list[httpx.Headers] = []
    recording(seen, tmp_path).request(SOMEWHERE, "GET", "/", headers={"host": "other.example.com"})
    assert [value for name, value in seen[0].raw if name.lower() == b"host"] == [b"other.example.com"]


def test_a_token_comes_from_its_file_and_is_in_no_reading(tmp_path: Path) -> None:
    seen: list[httpx.Headers] = []
    asked = recording(seen, tmp_path, headers={"Authorization": "Bearer {file:token}"})
    (tmp_path / "token").write_text("s3cret\n")
    reading = asked.read(SOMEWHERE, "health")
    assert seen[0]["authorization"] == "Bearer s3cret"
    assert reading.problem == "status 401: wrong: Bearer ***"


def test_a_missing_file_of_a_header_is_a_problem_and_no_request(tmp_path: Path) -> None:
    seen: list[httpx.Headers] = []
    reading = recording(seen, tmp_path, headers={"Authorization": "{file:token}"}).read(SOMEWHERE, "health")
    assert "token cannot be read: No such file" in reading.problem
    assert seen == []


@pytest.mark.parametrize(
    "body",
    [
        {"status": "fail", "checks": {"db:time": [{"status": "fail", "output": "no answer"}]}},
        {"status": "DOWN", "components": {"db:time": {"status": "DOWN", "message": "no answer"}}},
    ],
)
def test_failing_checks_of_other_health_formats_are_told_by_name(body: Any) -> None:
    assert "db:time no answer" in answering(503, body).read(SOMEWHERE, "health").problem


def test_failing_checks_are_in_the_problem_by_name() -> None:
    body = {"status": "unhealthy", "checks": [{"name": "memory", "status": "fail", "message": "97% used"}]}
    assert "memory 97% used" in answering(503, body).read(SOMEWHERE, "health").problem


def test_cookies_are_not_carried_from_one_answer_to_the_next() -> None:
    seen: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("cookie"))
        return httpx.Response(200, headers={"Set-Cookie": "slot=blue; Path=/"}, json=GOOD)

    prober(answer).read_all(SOMEWHERE)
    assert seen == [None] * 4


@pytest.mark.parametrize(
    "error",
    [
        httpx.ConnectTimeout("slow"),
        httpx.ReadTimeout("slow"),
        httpx.ConnectError("refused"),
        httpx.ReadError("reset"),
        httpx.RemoteProtocolError("gibberish"),
        httpx.DecodingError("bad gzip"),
    ],
)
def test_no_answer_is_a_reading_and_not_a_success(error: httpx.HTTPError) -> None:
    asked: list[httpx.Request] = []

    def fail(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        raise error

    reading = prober(fail).read(SOMEWHERE, "health")
    assert (reading.is_healthy, reading.status_code, len(asked)) == (False, None, 1)
    assert reading.problem


def test_a_path_that_is_no_url_is_a_problem_and_not_a_traceback() -> None:
    assert prober(lambda request: httpx.Response(200)).request(SOMEWHERE, "GET", "/\x00").problem


nested = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["status", "deployment", "application", "in_flight", "slot", "checks", "name"]), inner
        )
    ),
    max_leaves=8,
)


@given(
    st.one_of(
        st.binary(max_size=200),
        nested.map(lambda value: json.dumps(value).encode()),
        st.sampled_from([
            b"[" * 200_000,
            b'{"application":{"in_flight":"\xc2\xb2"}}',
            b'{"application":{"in_flight":"' + b"9" * 5000 + b'"}}',
            b'{"status":' + b"9" * 5000 + b"}",
        ]),
    ),
    st.integers(200, 599),
)  # fmt: skip
def test_any_answer_is_a_reading(body: bytes, status: int) -> None:
    for endpoint in ("health", "status"):
        reading = answering(status, body).read(SOMEWHERE, endpoint)
        assert str(reading)
        assert not (reading.is_healthy and status != 200)


@given(nested, st.text(max_size=10))
def test_a_field_is_text_or_nothing(payload: Any, path: str) -> None:
    assert isinstance(field_of(payload, path), str | None)


@contextlib.contextmanager
def server(serve: Callable[[socket.socket, threading.Event], None]) -> Iterator[Address]:
    """A TCP server that treats every connection as `serve` says, until the event is set."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threads: list[threading.Thread] = []

        def accept() -> None:
            while not over.is_set():
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                thread = threading.Thread(target=one, args=(connection,))
                threads.append(thread)
                thread.start()

        def one(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                connection.recv(4096)
                serve(connection, over)

        acceptor = threading.Thread(target=accept)
        acceptor.start()
        try:
            yield Address("127.0.0.1", listener.getsockname()[1])
        finally:
            over.set()
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            acceptor.join(5)
            for thread in threads:
                thread.join(5)


def drip(head: bytes, piece: bytes) -> Callable[[socket.socket, threading.Event], None]:
    def serve(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(head)
        while not over.wait(0.05):
            connection.sendall(piece)

    return serve


@pytest.mark.parametrize(
    "serve",
    [
        lambda connection, over: over.wait(10),
        lambda connection, over: None,
        lambda connection, over: connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{}"),
        lambda connection, over: connection.sendall(b"no http at all\r\n\r\n"),
        drip(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x"),
        drip(b'HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{"status": "healthy"', b" "),
        drip(b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{"status": "healthy"}', b" "),
    ],
    ids=["hangs", "closes", "is cut off", "speaks gibberish", "drips headers", "drips a body", "never ends its body"],
)
def test_an_incomplete_answer_of_a_real_server_is_no_success(
    serve: Callable[[socket.socket, threading.Event], None],
) -> None:
    with server(serve) as address:
        reading = HttpProber(ContractSettings(), timeout=0.3).read(address, "health")
    assert not reading.is_healthy
    assert reading.status_code is None


def speak_http2(connection: socket.socket, ended: threading.Event) -> None:
    """Send the SETTINGS with which a gRPC server begins, and then GOAWAY."""
    connection.sendall(bytes.fromhex("000006040000000000000400400000" + "0000080700000000000000000000000001"))
    ended.wait(5)


def test_a_server_that_speaks_http2_only_is_refused_by_name() -> None:
    with server(speak_http2) as address:
        reading = HttpProber(ContractSettings(), timeout=1).read(address, "health")
    assert "speaks only HTTP/2 (h2c, gRPC)" in reading.problem


def test_a_port_without_a_listener_is_connection_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    reading = HttpProber(ContractSettings(), timeout=1).read(Address("127.0.0.1", port), "health")
    assert reading.problem == "connection refused"


def test_a_real_answer_in_time_is_read_whole() -> None:
    body = json.dumps(GOOD).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
    with server(lambda connection, over: connection.sendall(head + body)) as address:
        reading = HttpProber(ContractSettings(), timeout=2).read(address, "health")
    assert reading.is_healthy
    assert reading.version == "v2"
