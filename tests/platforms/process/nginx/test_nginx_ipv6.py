"""IPv6 users and slots of the real nginx."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import HTTPServer

import pytest

from cakravia_verify.errors import UsageError
from cakravia_verify.slots import Address, Colour
from tests.platforms.process.nginx.conftest import Front, Handler, deadline
from tests.ports import free_ports


def headers_seen(host: str, port: int) -> dict[str, str]:
    """Ask the proxy at that address, and return the headers that the application got."""
    with closing(http.client.HTTPConnection(host, port, timeout=10)) as user:
        user.request("GET", "/")
        return dict(json.loads(user.getresponse().read())["headers"])


def test_one_address_lets_users_of_ipv6_and_ipv4_in(front: Front) -> None:
    front.nginx(listen=f"[::]:{front.port}").start(Colour.BLUE, deadline=deadline())
    seen = {host: headers_seen(host, front.port)["X-Real-IP"] for host in ("::1", "127.0.0.1")}
    assert seen == {"::1": "::1", "127.0.0.1": "127.0.0.1"}


def test_a_proxy_on_an_ipv6_address_is_observed_and_switched(front: Front) -> None:
    proxy = front.nginx(listen=f"[::1]:{front.port}")
    proxy.start(Colour.BLUE, deadline=deadline())
    assert proxy.address.url == f"http://[::1]:{front.port}"
    proxy.point_at(Colour.GREEN, deadline=deadline())
    assert not proxy.refresh(deadline=deadline())
    proxy.check()
    headers_seen("::1", front.port)
    assert front.green.seen == ["GET /"]


def test_users_come_in_at_each_address_of_a_list(front: Front) -> None:
    (other,) = free_ports(1)
    front.nginx(listen=[f"[::]:{front.port}"]).start(Colour.BLUE, deadline=deadline())
    proxy = front.nginx(listen=[f"[::]:{front.port}", f"0.0.0.0:{front.port}", f"127.0.0.1:{other}"])
    proxy.check()
    assert proxy.refresh(deadline=deadline())
    places = (("::1", front.port), ("127.0.0.1", front.port), ("127.0.0.1", other))
    assert [headers_seen(*place)["X-Real-IP"] for place in places] == ["::1", "127.0.0.1", "127.0.0.1"]
    assert (proxy.address, proxy.observe().is_running) == (Address("::", front.port), True)


def test_an_address_of_a_list_that_another_program_has_is_named(front: Front) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(UsageError, match=taken):
            front.nginx(listen=[f"127.0.0.1:{front.port}", taken]).start(Colour.BLUE, deadline=deadline())


class Server(HTTPServer):
    address_family = socket.AF_INET6
    slot = "blue"

    def __init__(self) -> None:
        super().__init__(("::1", 0), Handler)
        self.seen: list[str] = []
        self.headers: set[str] = set()


@contextmanager
def ipv6_slot() -> Iterator[Address]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield Address("::1", server.server_port)
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("switch", ["flag", "reload"])
def test_a_slot_on_an_ipv6_address_is_named_as_the_one_that_answered(front: Front, switch: str) -> None:
    with ipv6_slot() as slot:
        proxy = front.nginx(switch=switch)
        proxy._configuration.upstreams[Colour.BLUE] = slot
        proxy.start(Colour.BLUE, deadline=deadline())
        assert front.ask("/", headers={"Connection": "close"}).served_slot == ["blue"]
        assert front.ask(f"{proxy.path_to(Colour.BLUE)}/", headers={"Connection": "close"}).slot == "blue"
