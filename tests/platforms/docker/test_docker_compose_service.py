"""Slots made from a service of the project's own compose file, on a real engine."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from cakravia_verify.errors import PlatformError, UsageError
from cakravia_verify.platforms.docker.slots import DockerPlatform
from cakravia_verify.slots import Colour
from cakravia_verify.system.clock import Deadline
from tests.platforms.docker.docker_stage import DockerSite, base_of

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

    from tests.platforms.docker.conftest import MakeSite

PROJECT = """\
services:
  db:
    image: {base}
    command: ["nginx", "-g", "daemon off;"]
    healthcheck: {{test: ["CMD", "curl", "-fs", "http://127.0.0.1/"], interval: 1s, timeout: 2s, retries: 20}}
  web:
    build: {{context: "{context}", args: {{BASE: "{base}"}}}}
    environment: {{COLOUR_OF_THE_SHOP: "green $$5"}}
    depends_on: {{db: {{condition: service_healthy}}}}
    volumes: ["media:/var/media", "./conf:/etc/conf:ro"]
    networks: {{default: {{aliases: [shop]}}}}
    ulimits: {{nofile: 2048}}
    shm_size: 32m
    extra_hosts: ["elsewhere:192.0.2.7"]
    secrets: [password]
    configs: [{{source: greeting, target: /etc/greeting}}]
    stop_grace_period: 7s
    mem_limit: 100m
    labels: {{team: shop}}
    hostname: shop
secrets: {{password: {{file: ./password.txt}}}}
configs: {{greeting: {{content: "hello"}}}}
volumes: {{media: }}
"""
DOCKER = """\
compose = "docker-compose.yml"
service = "web"
writable = ["/var/cache/nginx"]
tmpfs = { "/tmp" = "8M,exec" }
"""


def compose(site: DockerSite, *arguments: str) -> str:
    command = ["docker", "compose", "-p", site.name, "-f", str(site.folder / "docker-compose.yml"), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def make(site: DockerSite, context: object) -> None:
    """Write the project beside the settings, which then name no other source of versions."""
    text = PROJECT.format(base=base_of("nginx"), context=context)
    (site.folder / "docker-compose.yml").write_text(f"name: {site.name}\n{text}")
    (site.folder / "conf").mkdir()
    (site.folder / "conf" / "shop.ini").write_text("a=b\n")
    (site.folder / "password.txt").write_text("open sesame")
    lines = site.settings.read_text().splitlines()
    site.settings.write_text(
        "\n".join(line for line in lines if not line.startswith(("context =", "build_args =", "grace ="))) + "\n"
    )


@pytest.fixture(scope="module")
def shop(make_site: MakeSite) -> Iterator[DockerSite]:
    """A site whose slot is the service `web`; the project's database runs."""
    site = make_site(application="plain_app", base="nginx", docker=DOCKER)
    make(site, context_of(site))
    yield site
    site.cakravia("down")
    compose(site, "down", "--volumes", "--timeout", "1")


def context_of(site: DockerSite) -> str:
    return next(
        line.partition("=")[2].strip(' "')
        for line in site.settings.read_text().splitlines()
        if line.startswith("context")
    )


@pytest.fixture(scope="module")
def platform(shop: DockerSite) -> DockerPlatform:
    platform = shop.open().platform
    assert isinstance(platform, DockerPlatform)
    return platform


@pytest.fixture(scope="module")
def slot(shop: DockerSite, platform: DockerPlatform, client: DockerClient) -> Container:
    compose(shop, "up", "--detach", "--wait", "db")
    platform.prefetch("v1.0.0", deadline=Deadline("the build ends", 60))
    artifact = platform.build("v1.0.0", deadline=Deadline("the build ends", 60))
    platform.start(Colour.BLUE, artifact, release="r", deadline=Deadline("it starts", 40))
    return client.containers.get(f"{shop.name}-app-blue")


def output(container: Container, *command: str, **options: Any) -> str:
    ended = container.exec_run(list(command), **options)
    assert ended.exit_code == 0, ended.output
    assert isinstance(ended.output, bytes)
    return ended.output.decode()


# In this order: the database does not run at first.


def test_a_release_without_the_projects_network_is_refused(platform: DockerPlatform, shop: DockerSite) -> None:
    with pytest.raises(UsageError, match=f"network {shop.name}_default is missing") as raised:
        platform.prefetch("v1.0.0", deadline=Deadline("the build ends", 60))
    assert f"docker compose -f {shop.folder}/docker-compose.yml up -d" in raised.value.remedy


def test_a_release_without_a_healthy_database_is_refused(platform: DockerPlatform, shop: DockerSite) -> None:
    compose(shop, "create", "db")
    compose(shop, "up", "--no-start", "db")
    with pytest.raises(UsageError, match=r"service db of compose project \S+ must be healthy, but is created"):
        platform.prefetch("v1.0.0", deadline=Deadline("the build ends", 60))


def test_a_slot_is_given_what_the_service_defines(slot: Container, shop: DockerSite) -> None:
    host, config = slot.attrs["HostConfig"], slot.attrs["Config"]
    assert "COLOUR_OF_THE_SHOP=green $5" in config["Env"]
    assert (host["ShmSize"], host["Memory"]) == (32 * 2**20, 100 * 2**20)
    assert host["Ulimits"] == [{"Name": "nofile", "Hard": 2048, "Soft": 2048}]
    assert (config["StopTimeout"], config["Labels"]["team"]) == (7, "shop")
    assert "elsewhere" in output(slot, "cat", "/etc/hosts")
    assert (
        output(slot, "cat", "/etc/greeting", "/etc/conf/shop.ini", "/run/secrets/password") == "helloa=b\nopen sesame"
    )
    assert {mount["Name"] for mount in slot.attrs["Mounts"] if mount["Destination"] == "/var/media"} == {
        f"{shop.name}_media"
    }


def test_a_slot_keeps_its_hardening(slot: Container) -> None:
    host = slot.attrs["HostConfig"]
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]


def test_a_writable_folder_belongs_to_the_slots_user_and_keeps_the_rest_read_only(slot: Container) -> None:
    output(slot, "touch", "/var/cache/nginx/mine")
    assert slot.exec_run(["touch", "/var/cache/other"]).exit_code != 0


def test_a_program_runs_from_a_tmpfs_with_exec(slot: Container) -> None:
    output(slot, "sh", "-c", "cp /bin/true /tmp/it && /tmp/it")


def test_the_projects_services_resolve_in_a_slot_also_after_compose_recreated_them(
    slot: Container, shop: DockerSite
) -> None:
    assert "nginx" in output(slot, "curl", "-fs", "http://db/")
    compose(shop, "up", "--detach", "--wait", "--force-recreate", "db")
    assert "nginx" in output(slot, "curl", "-fs", "http://db/")


def test_the_services_own_name_never_leads_to_an_idle_candidate(
    slot: Container, shop: DockerSite, client: DockerClient
) -> None:
    database = client.containers.get(f"{shop.name}-db-1")
    for name in ("web", "shop"):
        assert database.exec_run(["getent", "hosts", name]).exit_code != 0
    assert output(database, "getent", "hosts", str(slot.name))


def test_everyday_commands_of_the_project_leave_a_slot_alone(shop: DockerSite, slot: Container) -> None:
    compose(shop, "up", "--detach", "--remove-orphans", "db")
    slot.reload()
    assert slot.status == "running"
    assert f"{shop.name}_default" in slot.attrs["NetworkSettings"]["Networks"]


def test_compose_knows_the_volume_that_a_slot_made_as_its_own(shop: DockerSite, slot: Container) -> None:
    ended = subprocess.run(
        ["docker", "compose", "-f", str(shop.folder / "docker-compose.yml"), "create", "db"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "was not created by Docker Compose" not in ended.stderr


def test_a_stray_up_with_the_rendered_file_changes_nothing(
    shop: DockerSite, slot: Container, client: DockerClient
) -> None:
    file = str(shop.folder / "docker-compose.blue-green.yml")
    subprocess.run(["docker", "compose", "-f", file, "up", "--detach"], capture_output=True, check=True, timeout=60)
    assert client.containers.get(str(slot.name)).id == slot.id


def test_a_slot_that_lost_the_projects_network_is_connected_again(
    slot: Container, shop: DockerSite, platform: DockerPlatform, client: DockerClient
) -> None:
    network = client.networks.get(f"{shop.name}_default")
    network.disconnect(slot)
    assert any(f"had lost network {network.name}" in line for line in platform.reconnect())
    slot.reload()
    assert "nginx" in output(slot, "curl", "-fs", "http://db/")


def test_an_unhealthy_database_fails_a_start_and_leaves_what_runs(
    slot: Container, platform: DockerPlatform, shop: DockerSite
) -> None:
    compose(shop, "stop", "--timeout", "1", "db")
    artifact = platform.retained()[0]
    with pytest.raises(Exception, match="must be healthy, but is exited"):
        platform.start(Colour.BLUE, artifact, release="r", deadline=Deadline("it starts", 2))
    slot.reload()
    assert slot.status == "running"


def test_the_volumes_of_a_slot_are_gone_with_it_and_those_of_the_project_stay(
    slot: Container, shop: DockerSite, platform: DockerPlatform, client: DockerClient
) -> None:
    own = [mount["Name"] for mount in slot.attrs["Mounts"] if mount["Destination"] == "/var/cache/nginx"]
    platform.stop(Colour.BLUE, deadline=Deadline("it stops", 20))
    left = {volume.name for volume in client.volumes.list()}
    assert own
    assert not left & set(own)
    assert f"{shop.name}_media" in left


def test_a_missing_folder_of_the_machine_is_named(platform: DockerPlatform, shop: DockerSite) -> None:
    compose(shop, "up", "--detach", "--wait", "db")
    (shop.folder / "conf").rename(shop.folder / "moved")
    try:
        with pytest.raises((UsageError, PlatformError), match=f"{shop.folder}/conf"):
            platform.prefetch("v1.0.0", deadline=Deadline("the build ends", 60))
    finally:
        (shop.folder / "moved").rename(shop.folder / "conf")
