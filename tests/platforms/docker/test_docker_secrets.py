"""Secrets reach the application as files that only it can read, and nothing else of a site tells them."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from cakravia_verify.errors import PlatformError, SettingsError, UsageError
from cakravia_verify.slots import Artifact, Colour
from cakravia_verify.system.clock import Deadline, poll
from tests.platforms.docker.docker_stage import DockerSite

if TYPE_CHECKING:
    from pathlib import Path

    from docker import DockerClient
    from docker.models.containers import Container

    from cakravia_verify.site.site import Site
    from tests.platforms.docker.conftest import MakeSite

PLACE = "/run/secrets"


@dataclass(frozen=True)
class Keeper:
    """A site with one secret, and an artifact to start."""

    made: DockerSite
    site: Site
    artifact: Artifact
    file: Path

    def start(self, colour: Colour = Colour.BLUE) -> None:
        self.site.platform.start(colour, self.artifact, release="r", deadline=Deadline("it starts", 30))

    def stop(self, colour: Colour = Colour.BLUE) -> None:
        self.site.platform.stop(colour, deadline=Deadline("it stops", 30))


@pytest.fixture(scope="module")
def keeper(make_site: MakeSite) -> Keeper:
    made = make_site(application="plain_app", base="nginx", docker='secrets = { database_url = "kept/url" }')
    file = made.folder / "kept" / "url"
    file.parent.mkdir()
    file.write_text("unset")
    site = made.open()
    return Keeper(made, site, site.platform.build("v1.0.0", deadline=Deadline("the build ends", 60)), file)


@pytest.fixture(scope="module")
def secret(keeper: Keeper) -> str:
    text = f"postgres://shop:{secrets.token_hex(16)}@db/shop"
    keeper.file.write_text(text)
    return text


@pytest.fixture(scope="module")
def slot(keeper: Keeper, secret: str, client: DockerClient) -> Container:
    keeper.start()
    return client.containers.get(f"{keeper.made.name}-app-blue")


def said(container: Container, line: str, *, user: str = "") -> tuple[int, str]:
    status, output = container.exec_run(["sh", "-c", line], user=user)
    assert isinstance(status, int)
    assert isinstance(output, bytes)
    return status, output.decode()


def test_only_the_application_can_read_its_secret_in_the_container(slot: Container, secret: str) -> None:
    assert said(slot, f"cat {PLACE}/database_url") == (0, secret)
    assert said(slot, f"stat -c '%u %a' {PLACE}/database_url; id -u")[1].split() == ["10001", "400", "10001"]
    status, text = said(slot, f"cat {PLACE}/database_url", user="10002")
    assert status != 0
    assert secret not in text


def test_the_application_can_neither_change_nor_add_a_secret(slot: Container) -> None:
    for line in ("chmod 600 database_url", "rm -f database_url", "touch another"):
        assert said(slot, f"cd {PLACE} && {line}")[0] != 0, line


def test_no_other_part_of_the_site_contains_the_secret(
    keeper: Keeper, slot: Container, secret: str, client: DockerClient
) -> None:
    image = client.images.get(slot.attrs["Image"])
    for place, text in {
        "container": json.dumps(slot.attrs),
        "image": json.dumps([image.attrs, image.history()]),
        "volume": json.dumps(client.volumes.get(f"{keeper.made.name}-app-blue-secrets").attrs),
        "processes": json.dumps(slot.top()),
        "log": slot.logs().decode(),
        "environment": said(slot, "cat /proc/1/environ")[1],
        "files": "".join(
            each.read_text() for each in keeper.made.folder.rglob("*") if each.is_file() and each != keeper.file
        ),
    }.items():
        assert secret not in text, place


def test_the_suite_for_containers_looks_at_secrets(keeper: Keeper, slot: Container) -> None:
    ended = keeper.made.check_containers("-k", "secret and blue")
    assert ended.status == 0, ended.output
    assert "3 passed" in ended.output


def test_each_start_uses_the_present_secret_and_the_other_slot_keeps_its_own(
    keeper: Keeper, slot: Container, secret: str, client: DockerClient
) -> None:
    keeper.file.write_text("the next one")
    keeper.start(Colour.GREEN)
    other = client.containers.get(f"{keeper.made.name}-app-green")
    assert said(other, f"cat {PLACE}/database_url") == (0, "the next one")
    assert said(slot, f"cat {PLACE}/database_url") == (0, secret)


def test_the_secret_outlives_a_restart_by_the_engine(slot: Container, secret: str) -> None:
    slot.restart(timeout=5)
    # Once, on a busy machine, the first output after the restart was empty; the cause was not found.
    poll(lambda: said(slot, f"cat {PLACE}/database_url") == (0, secret), deadline=Deadline("the secret is read", 10))


def test_the_secret_goes_with_the_slot(keeper: Keeper, slot: Container, client: DockerClient) -> None:
    keeper.stop()
    volumes = {volume.name for volume in client.volumes.list()}
    assert f"{keeper.made.name}-app-blue-secrets" not in volumes


def test_a_leftover_secrets_container_does_not_stop_a_release(
    keeper: Keeper, secret: str, client: DockerClient
) -> None:
    keeper.file.write_text(secret)
    name = f"{keeper.made.name}-app-blue-secrets"
    client.volumes.create(name, labels={"cakravia.site": keeper.made.name})
    client.containers.create(
        keeper.artifact.digest, name=name, labels={"cakravia.site": keeper.made.name}, volumes=[f"{name}:{PLACE}"]
    )
    keeper.start()
    slot = client.containers.get(f"{keeper.made.name}-app-blue")
    assert said(slot, f"cat {PLACE}/database_url") == (0, secret)
    assert name not in {container.name for container in client.containers.list(all=True)}


def test_a_foreign_volume_of_that_name_is_named_and_not_touched(keeper: Keeper, client: DockerClient) -> None:
    keeper.stop(Colour.GREEN)
    foreign = client.volumes.create(f"{keeper.made.name}-app-green-secrets")
    try:
        with pytest.raises(PlatformError, match=f"{foreign.name} is taken by a volume"):
            keeper.start(Colour.GREEN)
        foreign.reload()
    finally:
        foreign.remove()


def test_an_unreadable_secret_is_named_before_any_change(keeper: Keeper) -> None:
    site = keeper.made.open(("docker.secrets", {"database_url": "kept/nothing"}))
    with pytest.raises(UsageError, match=r"database_url: .*/kept/nothing cannot be read"):
        site.platform.prefetch("v1.0.0", deadline=Deadline("it is here", 30))


@pytest.mark.parametrize("name", ["../passwd", "a/b", "", ".hidden", "a b"])
def test_a_name_that_leaves_the_folder_is_refused(keeper: Keeper, name: str) -> None:
    with pytest.raises(SettingsError, match="secrets"):
        keeper.made.open(("docker.secrets", {name: "kept/url"}))
