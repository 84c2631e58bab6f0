"""A journey keeps its cookies as a browser does, and another journey does not have them."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING

import pytest

from cakravia_verify.traffic.client.cookies import JourneyCookies
from cakravia_verify.traffic.plan.mix import MixEntry

if TYPE_CHECKING:
    from tests.traffic.client.conftest import MakeSender, Serve


def sent(*lines: bytes, path: str = "/shop/cart", host: str = "shop.example.com", is_secure: bool = False) -> bytes:
    """Return the Cookie header of a request for `path` after an answer to /shop/login set these cookies."""
    cookies = JourneyCookies(is_secure=is_secure)
    cookies.keep(lines, host=host, path="/shop/login?next=/")
    return cookies.header(path)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"sid=1", b"Cookie: sid=1\r\n"),
        (b' sid = "a=b" ; HttpOnly; SameSite=Lax', b'Cookie: sid="a=b"\r\n'),
        (b"sid=1; Path=/", b"Cookie: sid=1\r\n"),
        (b"sid=1; Path=/sho", b""),
        (b"sid=1; Path=/admin", b""),
        (b"sid=1; path=cart", b"Cookie: sid=1\r\n"),
        (b"sid=1; Domain=.example.com", b"Cookie: sid=1\r\n"),
        (b"sid=1; Domain=shop.example.com", b"Cookie: sid=1\r\n"),
        (b"sid=1; Domain=other.example.com", b""),
        (b"sid=1; Secure", b""),
        (b"sid=1; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT", b"Cookie: sid=1\r\n"),
        (b"sid=1; Max-Age=0", b""),
        (b"sid=1; Max-Age=-1", b""),
        (b"sid=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT", b""),
        (b"sid=1; Expires=Thu, 01-Jan-1970 00:00:00 GMT", b""),
        (b"sid=1; Expires=Fri, 31 Dec 2199 00:00:00 GMT", b"Cookie: sid=1\r\n"),
        (b"sid=1; Expires=soon", b"Cookie: sid=1\r\n"),
        (b"no cookie", b""),
        (b"=1", b""),
    ],
)
def test_a_cookie_is_sent_where_a_browser_sends_it(line: bytes, expected: bytes) -> None:
    assert sent(line) == expected


def test_a_secure_cookie_is_sent_if_users_come_by_https() -> None:
    assert sent(b"sid=1; Secure", is_secure=True) == b"Cookie: sid=1\r\n"


def test_the_longer_path_comes_first_and_a_later_value_replaces_an_earlier_one() -> None:
    lines = (b"sid=1; Path=/", b"a=2; Path=/shop", b"sid=3; Path=/")
    assert sent(*lines) == b"Cookie: a=2; sid=3\r\n"


def test_an_application_takes_a_cookie_back_by_letting_it_expire() -> None:
    assert sent(b"sid=1; Path=/", b"sid=; Path=/; Max-Age=0") == b""


def test_a_journey_keeps_its_cookies_and_shares_them_with_no_other(serve: Serve, sender: MakeSender) -> None:
    seen: list[list[bytes]] = []

    def answer(accepted: socket.socket, number: int, head: bytes, body: bytes) -> bool:
        seen.append(re.findall(rb"(?im)^cookie: ([^\r]*)", head))
        cookie = b"Set-Cookie: sid=%d; Path=/\r\nSet-Cookie: b=x\r\n" % number if b"/login" in head else b""
        accepted.sendall(b"HTTP/1.1 200 OK\r\n%sContent-Length: 2\r\n\r\nhi" % cookie)
        return True

    own = MixEntry("own", path="/own", headers=(("Cookie", "mine=1"),))
    login = MixEntry("login", "POST", "/login", steps=(MixEntry("account", path="/account"), own))
    send = sender(serve(answer).url, login)
    send.send_all(2)
    assert [row.outcome for row in send.finish()] == ["answered"] * 6
    assert seen == [[], [b"sid=0; b=x"], [b"mine=1"], [], [b"sid=1; b=x"], [b"mine=1"]]
