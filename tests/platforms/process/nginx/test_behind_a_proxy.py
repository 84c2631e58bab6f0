"""Who the client is, said by proxies in front of the real nginx: ours, and strangers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from cakravia_verify.settings.proxy import ProxySettings
from cakravia_verify.slots import Colour
from tests.platforms.process.nginx.conftest import Front, deadline

CLAIMED = {
    "X-Forwarded-For": "203.0.113.7",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "shop.example",
    "X-Forwarded-Port": "8443",
    "X-Real-IP": "203.0.113.7",
    "Forwarded": "for=203.0.113.7;proto=https",
}


def received(front: Front, headers: dict[str, str]) -> dict[str, str]:
    """Send a request with the headers, and return those that the application got."""
    return dict(json.loads(front.ask("/", headers=headers).body)["headers"])


def started(front: Front, **settings: Any) -> None:
    front.nginx(**settings).start(Colour.BLUE, deadline=deadline())


def test_a_trusted_balancers_client_and_scheme_reach_the_application(front: Front) -> None:
    started(front, trusted=["127.0.0.0/8"])
    got = received(front, CLAIMED)
    assert (got["X-Real-IP"], got["X-Forwarded-For"]) == ("203.0.113.7", "203.0.113.7")
    assert (got["X-Forwarded-Proto"], got["X-Forwarded-Host"]) == ("https", "shop.example")
    assert got["X-Forwarded-Port"] == "8443"


@pytest.mark.parametrize("trusted", [[], ["10.0.0.0/8"], ["cloudflare"]])
def test_claims_of_a_stranger_about_the_client_do_not_pass(front: Front, trusted: list[str]) -> None:
    started(front, trusted=trusted)
    got = received(front, CLAIMED)
    assert (got["X-Real-IP"], got["X-Forwarded-For"], got["X-Forwarded-Proto"]) == ("127.0.0.1", "127.0.0.1", "http")
    assert (got["X-Forwarded-Host"], got["X-Forwarded-Port"]) == (f"127.0.0.1:{front.port}", str(front.port))
    assert "Forwarded" not in got


def test_a_client_cannot_speak_through_a_trusted_balancer(front: Front) -> None:
    started(front, trusted=["127.0.0.1", "198.51.100.0/24"])
    got = received(front, {"X-Forwarded-For": "192.0.2.66, 203.0.113.7, 198.51.100.9"})
    assert got["X-Real-IP"] == "203.0.113.7"


def test_a_scheme_behind_a_trusted_balancer_without_a_port_has_its_usual_port(front: Front) -> None:
    started(front, trusted=["127.0.0.1"])
    got = received(front, {"X-Forwarded-Proto": "https"})
    assert (got["X-Forwarded-Proto"], got["X-Forwarded-Port"]) == ("https", "443")


def test_hsts_is_sent_behind_a_balancer_that_ends_tls(front: Front) -> None:
    started(front, trusted=["127.0.0.1"], security_headers={"strict_transport_security": "max-age=60"})
    assert front.ask("/", headers={"X-Forwarded-Proto": "https"}).headers["Strict-Transport-Security"] == "max-age=60"


@pytest.mark.parametrize("name", ["X_Real_IP", "X_Forwarded_For", "x_forwarded_proto"])
def test_underscores_do_not_let_a_stranger_name_the_client(front: Front, name: str) -> None:
    started(front)
    assert name.lower() not in {key.lower() for key in received(front, {name: "203.0.113.7"})}


@pytest.mark.parametrize("wrong", ["10.0.0.1/8", "example.org", "1.2.3.4; }", ""])
def test_a_trusted_peer_that_is_no_network_is_named(wrong: str) -> None:
    with pytest.raises(ValidationError, match="is no address, no network"):
        ProxySettings(trusted=(wrong,))
