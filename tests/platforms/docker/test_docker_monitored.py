"""What the monitor sees of slots in containers, and its pages in the proxy's container."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import httpx

from cakravia_verify.monitor.facts import PlatformFacts, ProbeTarget, Round
from cakravia_verify.monitor.sampling.assembly import open_sources
from cakravia_verify.monitor.web.access import new_password
from cakravia_verify.monitor.web.doorbell import Doorbell
from cakravia_verify.monitor.web.publisher import open_publisher
from cakravia_verify.settings.loading import load_settings
from cakravia_verify.slots import Colour
from cakravia_verify.system.clock import Deadline
from tests.platforms.docker.docker_stage import DockerSite

if TYPE_CHECKING:
    from docker import DockerClient


def test_slots_in_containers_are_seen_with_their_resources_and_restarts(
    make_site: Callable[..., DockerSite], client: DockerClient
) -> None:
    made = make_site()
    site = made.open()
    artifact = site.platform.build("v1", deadline=Deadline("the image is built", 120.0))
    slot = site.platform.start(Colour.BLUE, artifact, release="r-1", deadline=Deadline("the slot starts", 60.0))
    sources = open_sources(load_settings(made.settings, environment={}), on_probes=lambda: None)
    blue = next(source for source in sources.others if source.name == str(ProbeTarget.BLUE))

    first: PlatformFacts = sources.platform.collect().facts
    time.sleep(1.0)
    second: PlatformFacts = sources.platform.collect().facts
    ends = time.monotonic() + 30
    while not (seen := blue.collect().facts).is_good:
        assert time.monotonic() < ends, seen
        time.sleep(0.2)
    assert isinstance(seen, Round)

    facts = second.slot(Colour.BLUE)
    assert facts is not None
    assert (facts.version, facts.is_running, facts.restarts, facts.identity) == ("v1", True, 0, slot.identity)
    assert facts.memory_limit == site.settings.slots.memory_bytes
    assert facts.memory is not None
    assert 0 < facts.memory < facts.memory_limit
    assert facts.cpu is not None
    assert facts.received is not None
    assert first.slot(Colour.GREEN) is None
    assert not first.is_proxy_running

    container = client.containers.get(f"{made.name}-app-blue")
    container.restart(timeout=1)
    again: PlatformFacts = sources.platform.collect().facts
    restarted = again.slot(Colour.BLUE)
    assert restarted is not None
    assert restarted.identity != facts.identity

    container.kill()
    ends = time.monotonic() + 20
    while True:
        stopped = sources.platform.collect().facts.slot(Colour.BLUE)
        if stopped is not None and (not stopped.is_running or stopped.identity != restarted.identity):
            break
        assert time.monotonic() < ends, stopped
        time.sleep(0.1)
    assert stopped.is_running or stopped.exit_code == 137


def test_pages_of_the_monitor_are_served_by_the_proxys_container(make_site: Callable[..., DockerSite]) -> None:
    made, password = make_site(), new_password()
    with made.settings.open("a", encoding="utf-8") as file:
        file.write(f'\n[monitor]\npassword = "{password.hashed}"\npublic = true\n')
    site = made.open()
    site.proxy.start(Colour.BLUE, deadline=Deadline("the proxy starts", 120.0))
    url, reader, told = site.proxy.address.url, ("monitor", password.text), list[str]()

    def get(name: str, *, auth: tuple[str, str] | None) -> httpx.Response:
        return httpx.get(f"{url}/{name}", auth=auth, trust_env=False)

    assert get("monitor.html", auth=reader).status_code == 404
    assert get("monitor.html", auth=None).status_code == 401
    publisher = open_publisher(site.settings, Doorbell(), log=told.append)
    assert publisher is not None
    for at in (time.time() - 60, time.time()):
        publisher.show({"at": at, "facts": {}}, at_once=False)
        publisher.write()
        assert told == []
        assert get("monitor.json", auth=reader).json()["at"] == at
    assert 'data-events=""' in get("monitor.html", auth=reader).text
    assert get("monitor.facts.json", auth=None).status_code == 401
    assert get("status.json", auth=None).json()["site"] == made.name
    # Not a page of the monitor, since the container does not reach it: it is the application's, and none runs here.
    assert get("monitor.events", auth=reader).status_code in (502, 503, 504)
    site.proxy.stop(deadline=Deadline("the proxy stops", 30.0))
    publisher.write()
    assert told == []
