"""What nginx adds to the application's answers, and what it takes from them."""

from __future__ import annotations

import pytest

from cakravia_verify.platforms.process.nginx import LocalNginx
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
