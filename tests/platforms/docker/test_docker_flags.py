"""Flags in the proxy's volume change with a shell, without one, and after the shell was killed."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from cakravia_verify.platforms.docker.engine.engine import Engine
from cakravia_verify.platforms.docker.proxy.flags import VolumeFlags
from cakravia_verify.slots import Colour
from cakravia_verify.system.clock import SYSTEM_CLOCK
from cakravia_verify.testing.throwaway_site import REPOSITORY
from tests.platforms.docker.docker_stage import base_of

if TYPE_CHECKING:
    from pathlib import Path

    from docker import DockerClient
    from docker.models.containers import Container

FLAG = "green.active"


@pytest.fixture(scope="module")
def image(client: DockerClient) -> Iterator[str]:
    # Named: an image without a name goes when one that was built on it is removed.
    name = f"cakravia-test-flags:{uuid.uuid4().hex}"
    client.images.build(
        path=str(REPOSITORY / "images" / "nginx"), buildargs={"BASE": base_of("nginx")}, rm=True, forcerm=True, tag=name
    )
    yield name
    client.images.remove(name)


@pytest.fixture
def proxy(client: DockerClient, image: str) -> Iterator[Container]:
    container = client.containers.run(image, detach=True, init=True, read_only=True, tmpfs={"/tmp": ""})  # noqa: S108
    yield container
    container.remove(force=True, v=True)


def flags_of(container: Container) -> VolumeFlags:
    return VolumeFlags(Engine(), lambda: Engine().container(str(container.id)), clock=SYSTEM_CLOCK)


def is_there(container: Container) -> bool:
    return container.exec_run(["test", "-f", f"/srv/proxy/flags/{FLAG}"]).exit_code == 0


def test_a_flag_is_put_and_removed_by_the_shell(proxy: Container) -> None:
    flags = flags_of(proxy)
    flags.put(FLAG)
    put = is_there(proxy)
    flags.remove(FLAG)
    assert (put, is_there(proxy)) == (True, False)


def test_a_flag_changes_although_the_shell_was_killed(proxy: Container) -> None:
    flags = flags_of(proxy)
    assert flags.open_shell() is not None
    proxy.exec_run(["sh", "-c", "for p in /proc/[0-9]*; do grep -sq timeout $p/comm && kill -9 ${p#/proc/}; done"])
    flags.put(FLAG)
    assert is_there(proxy)


def test_a_flag_changes_in_an_image_without_what_a_shell_needs(
    client: DockerClient, image: str, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {image}\nUSER 0\nRUN rm $(command -v timeout)\nUSER 10101\n")
    bare, _ = client.images.build(path=str(tmp_path), rm=True, forcerm=True)
    container = client.containers.run(str(bare.id), detach=True, init=True)
    try:
        flags = flags_of(container)
        assert flags.open_shell() is None
        flags.put(FLAG)
        put = is_there(container)
        flags.remove(FLAG)
        assert (put, is_there(container), flags.has(FLAG)) == (True, False, False)
    finally:
        container.remove(force=True, v=True)
        client.images.remove(str(bare.id))


def test_a_flag_can_be_changed_and_read_while_the_proxy_is_stopped(proxy: Container) -> None:
    proxy.stop(timeout=5)
    flags = flags_of(proxy)
    flags.put(FLAG)
    assert flags.has(FLAG)
    flags.remove(FLAG)
    assert not flags.has(FLAG)


@pytest.mark.parametrize("colour", [Colour.GREEN, Colour.BLUE])
def test_pointing_at_a_slot_sets_the_flag_that_makes_it_active(proxy: Container, colour: Colour) -> None:
    flags = flags_of(proxy)
    flags.point_at(colour.other)
    switchover = flags.point_at(colour)
    assert is_there(proxy) is (colour is Colour.GREEN)
    assert switchover.decided_at <= switchover.effective_at


def test_a_removed_flag_does_not_come_back_with_the_next_upload(proxy: Container) -> None:
    flags = flags_of(proxy)
    flags.upload(proxy, FLAG, is_present=False)
    flags.put(FLAG)
    flags.remove(FLAG)
    flags.upload(proxy, FLAG, is_present=False)
    assert not is_there(proxy)
