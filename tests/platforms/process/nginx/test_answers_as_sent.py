"""What nginx adds to the application's answers, and what it takes from them."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from typing import Any

import pytest

from cakravia_verify.platforms.process.nginx import LocalNginx
from cakravia_verify.proxy.nginx.site_facts import SiteFacts
from cakravia_verify.slots import Colour
from tests.platforms.process.nginx.conftest import Front, deadline

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "strict-origin-when-cross-origin",
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_security_header_of_the_application_goes_out_once(front: Front, running: LocalNginx, name: str) -> None:
    answer = front.ask("/", headers={"X-Answer-With": f"{name}: of-the-application"})
    assert answer.headers.get_all(name) == ["of-the-application"]


@pytest.mark.parametrize(("name", "value"), HEADERS.items())
def test_an_answer_without_a_security_header_gets_one(front: Front, running: LocalNginx, name: str, value: str) -> None:
    assert front.ask("/").headers.get_all(name) == [value]
    assert front.ask("/nothing").headers.get_all(name) == [value]


@pytest.mark.parametrize("name", HEADERS)
def test_a_security_header_that_is_off_is_not_added(front: Front, name: str) -> None:
    proxy = front.nginx(security_headers={name.lower().replace("-", "_"): ""})
    proxy.start(Colour.BLUE, deadline=deadline())
    assert front.ask("/").headers.get_all(name) is None
    assert [key for key in HEADERS if front.ask("/").headers.get_all(key)] == [key for key in HEADERS if key != name]


def test_hsts_is_not_sent_over_http(front: Front) -> None:
    front.nginx(security_headers={"strict_transport_security": "max-age=60; preload"}).start(
        Colour.BLUE, deadline=deadline()
    )
    assert front.ask("/").headers.get_all("Strict-Transport-Security") is None


@pytest.mark.parametrize("size", [6_000, 32_000])
def test_an_answer_with_large_cookies_reaches_the_user(front: Front, running: LocalNginx, size: int) -> None:
    answer = front.ask(f"/cookies/{size}")
    assert (answer.status, len(answer.headers["Set-Cookie"])) == (200, size + 2)


def test_a_request_with_large_cookies_reaches_the_application(front: Front, running: LocalNginx) -> None:
    cookie = "s=" + "x" * (32 * 1024 - 2)
    answer = front.ask("/", headers={"Cookie": cookie})
    assert json.loads(answer.body)["headers"]["Cookie"] == cookie


def test_the_path_of_a_slot_reaches_it_wherever_users_are(front: Front, running: LocalNginx) -> None:
    for colour in Colour:
        answer = front.ask(f"{running.path_to(colour)}/cart?a=1")
        assert (answer.slot, answer.served_slot) == (colour, [colour])
    assert front.green.seen == ["GET /cart?a=1"]
    assert front.ask("/.cakravia/slot/guessed/green/").slot == "blue"


@pytest.mark.parametrize("settings", [{}, {"trusted": ["10.0.0.0/8"]}])
def test_a_smoke_request_of_a_tls_site_is_not_redirected_to_https(front: Front, settings: dict[str, Any]) -> None:
    front.facts = SiteFacts(smoke_scheme="https")
    proxy = front.nginx(**settings)
    proxy.start(Colour.BLUE, deadline=deadline())
    assert front.ask(f"{proxy.path_to(Colour.GREEN)}/tls-only", headers={"Host": "shop.example"}).slot == "green"
    assert front.ask("/tls-only").status == 301


def test_the_size_of_headers_is_settable(front: Front) -> None:
    front.nginx(header_size="60k").start(Colour.BLUE, deadline=deadline())
    assert front.ask("/cookies/60000").status == 200
    assert front.ask("/", headers={"Cookie": "x" * 60_000}).status == 200


@pytest.mark.parametrize("name", ["X_Tenant", "X.Tenant"])
def test_an_unusual_name_of_a_header_reaches_the_application(front: Front, running: LocalNginx, name: str) -> None:
    assert json.loads(front.ask("/", headers={name: "a"}).body)["headers"][name] == "a"


@pytest.mark.parametrize("command", ["X-Accel-Redirect: /elsewhere", "X-Accel-Limit-Rate: 1"])
def test_an_answer_of_the_application_is_no_command_to_nginx(front: Front, running: LocalNginx, command: str) -> None:
    assert front.ask("/", headers={"X-Answer-With": command}).slot == "blue"
    assert front.blue.seen == ["GET /"]


def sent_raw(front: Front, text: str) -> tuple[int, dict[str, str]]:
    """Send the request as it is. Return the status, and the headers that the application got."""
    with contextlib.closing(socket.create_connection(("127.0.0.1", front.port), timeout=10)) as connection:
        connection.sendall(text.encode())
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        body = answer.read()
        return answer.status, json.loads(body).get("headers", {}) if body[:1] == b"{" else {}


def test_a_request_of_http_1_0_without_a_host_is_answered(front: Front, running: LocalNginx) -> None:
    status, headers = sent_raw(front, "GET / HTTP/1.0\r\n\r\n")
    assert (status, headers["Host"]) == (200, f"127.0.0.1:{front.port}")


def test_a_request_with_a_whole_url_is_answered(front: Front, running: LocalNginx) -> None:
    status, headers = sent_raw(front, "GET http://shop.example/cart?a=1 HTTP/1.1\r\nHost: shop.example\r\n\r\n")
    assert (status, headers["Host"]) == (200, "shop.example")
    assert front.blue.seen == ["GET /cart?a=1"]


ODD_REQUESTS = {
    "GET /a/../b%2Fc?d=%00&e HTTP/1.1\r\nHost: x\r\n\r\n": "GET /a/../b%2Fc?d=%00&e",
    "POST /p HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n": "POST /p",
    "POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n": "POST /p",
    "DELETE /d HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc": "DELETE /d",
    "GET /g HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc": "GET /g",
    "\r\nGET /after-an-empty-line HTTP/1.1\r\nHost: x\r\n\r\n": "GET /after-an-empty-line",
    "GET /no-colon-space HTTP/1.1\r\nHost:x\r\nX-A:b\r\n\r\n": "GET /no-colon-space",
}


def test_unusual_but_legal_requests_reach_the_application(front: Front, running: LocalNginx) -> None:
    for text, told in ODD_REQUESTS.items():
        status, _ = sent_raw(front, text)
        assert (status, front.blue.seen[-1:]) == (200, [told]), text


def test_options_for_the_server_as_a_whole_is_refused(front: Front, running: LocalNginx) -> None:
    assert sent_raw(front, "OPTIONS * HTTP/1.1\r\nHost: shop.example\r\n\r\n")[0] == 400


def test_a_client_that_waits_for_100_continue_may_go_on(front: Front, running: LocalNginx) -> None:
    with contextlib.closing(socket.create_connection(("127.0.0.1", front.port), timeout=10)) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"abc")
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert json.loads(answer.read())["received"] == 3
