"""Sites in states that nobody planned: a hung version with nothing beside it, a hung proxy, a stranger on a dead slot's
port, a release that cannot be undone. `cakravia recover` serves users all the same, or says who has to do what."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import psutil
import pytest

from cakravia_verify.gate.model import Exit
from cakravia_verify.slots import Address, Colour
from tests.plugin.sessions.shop import Ended, Shop, wait_for

QUICK = ("--bake", "0.1", "--set", "budget.min_requests=1", "--set", "budget.min_each=0")
IMPATIENT = ("--set", "health.deadline=1.5", "--set", "release.confirm_timeout=1.5", "--set", "app.grace=1")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Green runs v2.0.0 and has the users, blue is warm with v1.0.0; so it is again after each of the tests."""
    shop = Shop(tmp_path_factory.mktemp("odd") / "site")
    for version in ("v1.0.0", "v2.0.0"):
        ended = shop.deploy(version, *QUICK)
        assert ended.status == 0, ended.output
    yield shop
    assert shop.tear_down() == []


def recovered(shop: Shop) -> Ended:
    return shop.cakravia(*IMPATIENT, "recover")


def bound(address: Address) -> socket.socket | None:
    """Somebody else's listener there; None where the port is not free yet."""
    try:
        return socket.create_server((address.host, address.port))
    except OSError:
        return None


def process_of(shop: Shop, colour: Colour | None = None) -> psutil.Process:
    """The process of a slot: of the active one where no colour is given."""
    slots = shop.observe().slots
    slot = slots.at(colour) if colour else slots.active
    assert slot is not None
    return psutil.Process(int(slot.identity.partition("@")[0]))


def test_hung_proxy_is_started_anew(shop: Shop) -> None:
    for process in shop.nginx():
        for worker in process.children():
            worker.suspend()
    ended = recovered(shop)
    assert ended.status == 0, ended.output
    assert shop.serving() == "v2.0.0"


def test_stranger_on_the_port_of_a_dead_version_gets_no_users(shop: Shop) -> None:
    dead = shop.observe().slots.active
    assert dead is not None
    process_of(shop).kill()
    with wait_for(lambda: bound(dead.address)):
        ended = recovered(shop)
        assert ended.status == Exit.NEEDS_A_PERSON, ended.output
        assert shop.serving() == "v1.0.0"
        assert "users stay on" in ended.output
    assert recovered(shop).status == 0
    assert shop.serving() == "v2.0.0"


def test_settings_that_would_send_users_to_where_nothing_is_are_refused(shop: Shop) -> None:
    active = shop.observe().active
    assert active is not None
    for command in ("recover", "up"):
        ended = shop.cakravia("--set", f"slots.{active.colour}={active.address.port + 1}", command)
        assert ended.status == Exit.USAGE_ERROR, ended.output
        assert f"set it back to {active.address}" in ended.output
    assert shop.serving() == "v2.0.0"


@pytest.mark.slow
def test_proxy_is_not_stopped_for_a_port_that_it_cannot_have(shop: Shop) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        ended = shop.cakravia(*IMPATIENT, "--set", f"proxy.listen=127.0.0.1:{port}", "recover")
        assert ended.status == Exit.USAGE_ERROR, ended.output
        assert f"127.0.0.1:{port}" in ended.output
    assert shop.serving() == "v2.0.0"


def test_hung_version_with_nothing_beside_it_is_started_anew(shop: Shop) -> None:
    process_of(shop, Colour.BLUE).kill()
    hung = process_of(shop)
    hung.suspend()
    ended = recovered(shop)
    assert ended.status == 0, ended.output
    assert shop.serving() == "v2.0.0"
    assert shop.observe().drift == ()
    assert not hung.is_running() or hung.status() == psutil.STATUS_ZOMBIE
