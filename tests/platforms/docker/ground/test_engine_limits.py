"""Limits and network addresses that a site relies on are in force on this machine's engine."""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING

import docker.types
import pytest

if TYPE_CHECKING:
    from docker.models.containers import Container
    from docker.models.images import Image
    from docker.models.networks import Network

    from tests.platforms.docker.ground.conftest import BuildImage, StartContainer


@pytest.fixture(scope="module")
def image(build_image: BuildImage) -> Image:
    return build_image("examples/plain_app", base="nginx")


@pytest.fixture
def running(image: Image, start_container: StartContainer) -> Container:
    return start_container(image, port=3000, path="/health").container


def control_group_value(container: Container, *, v1: str, v2: str) -> str:
    """The value as the container's own processes see it."""
    for file in (v2, v1):
        status, output = container.exec_run(["cat", f"/sys/fs/cgroup/{file}"])
        if status == 0 and isinstance(output, bytes):
            return output.decode().strip()
    pytest.fail(f"neither {v1} nor {v2} is visible in the container")


def test_memory_is_limited(running: Container) -> None:
    limit = control_group_value(running, v1="memory/memory.limit_in_bytes", v2="memory.max")
    assert int(limit) == 512 * 2**20


def test_the_number_of_processes_is_limited(running: Container) -> None:
    assert control_group_value(running, v1="pids/pids.max", v2="pids.max") == "256"


def test_processor_time_is_limited(running: Container) -> None:
    quota = control_group_value(running, v1="cpu/cpu.cfs_quota_us", v2="cpu.max")
    assert int(quota.split()[0]) == 100_000


@pytest.fixture
def network(engine: docker.DockerClient, label: str) -> Iterator[Network]:
    """A network with a subnet of the engine's own choice, whose lower half is kept for addresses given by hand.

    The engine accepts such addresses only in a subnet that was asked for, so its choice is asked for by name.
    """
    key, value = label.split("=")
    name = f"cakravia-test-{uuid.uuid4().hex}"
    chosen = engine.networks.create(name, labels={key: value})
    chosen.reload()
    subnet = ipaddress.ip_network(chosen.attrs["IPAM"]["Config"][0]["Subnet"])
    chosen.remove()
    pool = docker.types.IPAMPool(
        subnet=str(subnet), gateway=str(subnet[1]), iprange=str(list(subnet.subnets(prefixlen_diff=1))[1])
    )
    network = engine.networks.create(name, labels={key: value}, ipam=docker.types.IPAMConfig(pool_configs=[pool]))
    network.reload()
    yield network
    network.reload()
    for container in network.containers:
        network.disconnect(container, force=True)
    network.remove()


def address_in(network: Network, container: Container) -> str:
    container.reload()
    return str(container.attrs["NetworkSettings"]["Networks"][network.name]["IPAddress"])


def test_a_slot_keeps_its_address_while_others_come_and_go(
    engine: docker.DockerClient, image: Image, network: Network, start_container: StartContainer
) -> None:
    given = str(ipaddress.ip_network(network.attrs["IPAM"]["Config"][0]["Subnet"])[10])
    slot = start_container(
        image,
        port=3000,
        path="/health",
        network=network.name,
        networking_config={
            network.name: docker.types.EndpointConfig(str(engine.version()["ApiVersion"]), ipv4_address=given),
        },
    ).container
    before = address_in(network, slot)
    slot.stop(timeout=20)
    other = start_container(image, port=3000, path="/health", network=network.name).container
    slot.start()
    assert (before, address_in(network, slot)) == (given, given)
    assert address_in(network, other) != given
