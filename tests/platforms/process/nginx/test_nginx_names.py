"""The names of a site: strangers, and redirects. Our own requests pass."""

from __future__ import annotations

import contextlib
import http.client
import socket
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cakravia_verify.proxy.slot_paths import KEY_FILE
from cakravia_verify.settings.models import Settings, SiteSettings
from cakravia_verify.settings.proxy import ProxySettings
from cakravia_verify.slots import Colour
from tests.platforms.process.nginx.conftest import Answered, Front, deadline

REDIRECTS = [
    {"from": "http", "to": "https"},
    {"from": "www.shop.example", "to": "shop.example", "status": 301},
    {"from": "/old", "to": "/new"},
    {"from": "/blog/*", "to": "https://blog.example/archive/*", "status": 302},
]


def started(front: Front, **settings: Any) -> None:
    proxy = front.nginx(**settings)
    proxy.start(Colour.BLUE, deadline=deadline())
    assert not proxy.refresh(deadline=deadline())


def ask(front: Front, host: str, path: str = "/", **headers: str) -> Answered:
    return front.ask(path, headers={"Host": host, **headers})


def key_of(folder: Path) -> str:
    return (folder / KEY_FILE).read_text().strip()


def test_a_stranger_gets_no_answer_and_users_and_our_own_requests_do(front: Front) -> None:
    started(front, server_names=["shop.example", "*.shop.example"], strangers="close")
    for host in ("shop.example", f"SHOP.example:{front.port}", "de.shop.example", "shop.example:", "shop.example."):
        assert ask(front, host).slot == "blue"
    front.blue.seen.clear()
    for host in ("evil.example", "127.0.0.1", "notshop.example"):
        with pytest.raises(http.client.RemoteDisconnected):
            ask(front, host)
    with contextlib.closing(socket.create_connection(("127.0.0.1", front.port), timeout=10)) as connection:
        connection.sendall(b"GET http://shop.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        assert connection.recv(100) == b""
    assert front.blue.seen == []
    assert ask(front, "127.0.0.1", "/.cakravia/proxy").status == 200
    assert ask(front, "127.0.0.1", **{"X-Cakravia-Pass": key_of(front.folder)}).slot == "blue"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_stranger_gets_a_page_of_ones_own(front: Front, tmp_path: Path, method: str) -> None:
    (tmp_path / "strangers.html").write_text("<p>no such site</p>")
    started(front, server_names=["shop.example"], strangers="page", pages=str(tmp_path))
    answer = front.ask("/", method=method, headers={"Host": "evil.example"})
    assert (answer.status, answer.body, front.blue.seen) == (421, b"<p>no such site</p>", [])


def test_a_stranger_gets_a_short_page_without_a_page_of_ones_own(front: Front) -> None:
    started(front, server_names=["shop.example"], strangers="page")
    answer = ask(front, "evil.example")
    assert (answer.status, answer.body) == (421, b"There is no site of this name here.\n")


def test_redirects_lead_to_the_right_address(front: Front) -> None:
    started(front, trusted=["127.0.0.1"], redirects=REDIRECTS, server_names=["shop.example"], strangers="close")
    for host, path, scheme, status, location in [
        ("shop.example", "/a%20b?c=%0d%0aX:y", "http", 308, "https://shop.example/a%20b?c=%0d%0aX:y"),
        ("www.shop.example", "/a?b", "http", 301, "https://shop.example/a?b"),
        ("www.shop.example", "/a?b", "https", 301, "https://shop.example/a?b"),
        ("shop.example", "/old?b=1", "https", 308, "https://shop.example/new?b=1"),
        ("shop.example", "/blog/%0d%0aX:y/2?b=1", "https", 302, "https://blog.example/archive/%0d%0aX:y/2?b=1"),
        ("shop.example", "/older", "https", 200, None),
        ("shop.example", "/", "https", 200, None),
    ]:
        answer = ask(front, host, path, **{"X-Forwarded-Proto": scheme})
        assert (answer.status, answer.headers["Location"]) == (status, location), (host, path, scheme)


def test_our_own_requests_and_health_checks_are_not_redirected(front: Front) -> None:
    started(front, trusted=["127.0.0.1"], redirects=REDIRECTS)
    assert ask(front, "shop.example").status == 308
    assert ask(front, "shop.example", **{"X-Cakravia-Pass": key_of(front.folder)}).status == 200
    assert ask(front, "10.0.0.1", "/.cakravia/proxy").status == 200
    proxy = front.made[0]
    assert front.ask(f"{proxy.path_to(Colour.GREEN)}/").slot == "green"


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"server_names": ["http://shop.example"]}, "is no host name"),
        ({"server_names": ["shop.example; evil"]}, "is no host name"),
        ({"strangers": "close"}, "needs server_names"),
        ({"redirects": [{"from": "http", "to": "https"}]}, "needs tls_listen, or"),
        ({"redirects": [{"from": "a.example", "to": "https://b.example/x"}]}, "is no host"),
        ({"redirects": [{"from": "a.example", "to": "A.example".lower()}]}, "to itself for ever"),
        ({"redirects": [{"from": "/a*", "to": "/ab*"}]}, "to itself for ever"),
        ({"redirects": [{"from": "/a", "to": "/b*"}]}, "ends in"),
        ({"redirects": [{"from": "/a", "to": "/b"}, {"from": "/a", "to": "/c"}]}, "named twice"),
        ({"redirects": [{"from": '/a"', "to": "/b"}]}, "is no path"),
        ({"redirects": [{"from": "/a", "to": "/b$uri"}]}, "is no path"),
        ({"redirects": [{"from": "/a", "to": "/b\n"}]}, "is no path"),
    ],
)
def test_names_and_redirects_that_cannot_work_are_refused(settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        ProxySettings(**settings)


def test_a_site_whose_users_would_be_strangers_is_refused() -> None:
    proxy = ProxySettings(server_names=("shop.example",), strangers="close")
    with pytest.raises(ValidationError, match="would be strangers"):
        Settings(site=SiteSettings(host="www.shop.example:8080"), proxy=proxy)


def test_a_name_that_is_a_word_of_nginx_is_a_name(front: Front) -> None:
    names = ["default", "include", "hostnames", "volatile"]
    started(front, server_names=names, strangers="page")
    assert [ask(front, name).status for name in (*names, "a.example")] == [200] * 4 + [421]
