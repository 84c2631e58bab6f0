"""An engine behind ssh://: the same release, with nothing shared but one ssh connection."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psutil
import pytest

from cakravia_verify.slots import Colour
from cakravia_verify.system.clock import Deadline
from cakravia_verify.testing.throwaway_site import REPOSITORY, command_of
from tests.platforms.docker.docker_stage import DockerSite, base_of
from tests.ssh_server import SshServer, ssh_server

if TYPE_CHECKING:
    from tests.platforms.docker.conftest import MakeSite

HOLD_TUNNEL = """
import sys, time
from cakravia_verify.platforms.docker.engine.tunnel import SshTunnel
assert SshTunnel(sys.argv[1]).engine_address
print("connected", flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def ssh_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """A folder with an `ssh` that knows the way to an sshd of this test's own, and that sshd's port."""
    folder = tmp_path_factory.mktemp("ssh")
    with ssh_server(folder) as server:
        provide_client(folder, server)
        yield folder, server.port


def provide_client(folder: Path, server: SshServer) -> None:
    (folder / "known").write_text(server.known_hosts)
    # What a user has in ~/.ssh/config; the tests' own must not be touched.
    (folder / "bin").mkdir()
    program = folder / "bin" / "ssh"
    (folder / "config").write_text(
        f"IdentityFile {folder}/user\nUserKnownHostsFile {folder}/known\nIdentitiesOnly yes\n"
        f"ControlMaster auto\nControlPath {folder}/%C\nControlPersist 600\n"
    )
    program.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {folder}/config "$@"\n')
    program.chmod(0o755)


def environment_of(ssh_home: tuple[Path, int]) -> dict[str, str]:
    folder, port = ssh_home
    return {
        "DOCKER_HOST": f"ssh://{getpass.getuser()}@127.0.0.1:{port}",
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
    }


@pytest.fixture(scope="module")
def far(make_site: MakeSite, ssh_home: tuple[Path, int]) -> DockerSite:
    """A plain application released twice on the engine that DOCKER_HOST=ssh://... names."""
    environment = environment_of(ssh_home)
    site = make_site(application="node_app", base="node", profile="generic", more="", environment=environment)
    ended = site.deploy("v1.0.0")
    assert ended.status == 0, ended.output
    built = site.cakravia("build", "v1.1.0")
    assert built.status == 0, built.output
    ended = site.deploy("v1.1.0", "--digest", built.output.strip())
    assert ended.status == 0, ended.output
    assert site.verdict()["digest"] == built.output.strip()
    return site


def test_a_release_over_ssh_is_promoted_and_loses_nothing(far: DockerSite) -> None:
    verdict = far.verdict()
    assert verdict["decision"] == "PROMOTE"
    assert verdict["evidence"]["measured"]["lost"] == 0


def test_the_switch_over_ssh_is_one_line_to_a_shell_that_waits(far: DockerSite) -> None:
    [milliseconds] = far.verdict()["traffic"]["switch_milliseconds"]
    # A round trip through ssh; starting a process in a container alone takes longer than this bound.
    assert 0 < milliseconds < 1000


def test_slots_are_probed_through_the_ssh_connection(
    far: DockerSite, ssh_home: tuple[Path, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in far.environment.items():
        monkeypatch.setenv(name, value)
    slot = far.open().platform.observe(Colour.GREEN)
    assert slot is not None
    assert slot.address.host == "127.0.0.1"
    answer = httpx.get(f"{slot.address.url}/api/health", trust_env=False)
    assert answer.headers["X-Deployment-Version"] == "v1.1.0"


def test_proxy_and_application_testify_over_ssh(far: DockerSite) -> None:
    names = {each.name for each in (far.folder / "reports" / "latest").resolve().iterdir()}
    assert {"access.log", "application-blue.log", "application-green.log"} <= names


@pytest.mark.slow
def test_the_way_back_works_over_ssh(far: DockerSite) -> None:
    ended = far.roll_back()
    assert ended.status == 0, ended.output
    assert "v1.0.0 serves users" in far.cakravia("status").output


COMPOSE = """\
services:
  db: {{image: "{base}", command: ["sleep", "infinity"]}}
  web:
    build: {{context: "{context}", args: {{BASE: "{base}"}}}}
    environment: {{COLOUR_OF_THE_SHOP: "green $$5"}}
    depends_on: [db]
    volumes: ["media:/var/media"]
volumes: {{media: }}
"""


@pytest.mark.slow
def test_a_service_of_a_compose_file_is_released_over_ssh(make_site: MakeSite, ssh_home: tuple[Path, int]) -> None:
    docker = 'compose = "docker-compose.yml"\nservice = "web"\n'
    environment = environment_of(ssh_home)
    site = make_site(
        application="node_app", base="node", profile="generic", more="", docker=docker, environment=environment
    )
    lines = site.settings.read_text().splitlines()
    context = next(line.partition("=")[2].strip(' "') for line in lines if line.startswith("context ="))
    project = COMPOSE.format(base=base_of("node"), context=context)
    (site.folder / "docker-compose.yml").write_text(f"name: {site.name}\n{project}")
    kept = [line for line in lines if not line.startswith(("context =", "build_args =", "grace ="))]
    site.settings.write_text("\n".join(kept) + "\n")
    with composed(site):
        for version in ("v1.0.0", "v1.1.0"):
            ended = site.deploy(version)
            assert ended.status == 0, ended.output
        assert site.cakravia("down").status == 0


@contextlib.contextmanager
def composed(site: DockerSite) -> Iterator[None]:
    """The database of the project runs meanwhile."""
    command = ["docker", "compose", "-p", site.name, "-f", str(site.folder / "docker-compose.yml")]
    subprocess.run([*command, "up", "--detach", "db"], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run([*command, "down", "--volumes", "--timeout", "1"], check=True, capture_output=True)


def test_a_docker_context_at_an_ssh_address_is_used(far: DockerSite, tmp_path: Path) -> None:
    environment = {"DOCKER_CONFIG": str(tmp_path), "DOCKER_HOST": ""}
    here = {**os.environ, **environment}
    host = far.environment["DOCKER_HOST"]
    for command in (["create", "far", "--docker", f"host={host}"], ["use", "far"]):
        subprocess.run(["docker", "context", *command], env=here, check=True, capture_output=True)
    far.environment, given = {**far.environment, **environment}, far.environment
    try:
        ended = far.cakravia("status")
    finally:
        far.environment = given
    assert ended.status == 0, ended.output
    assert "serves users" in ended.output


@pytest.fixture
def left_of_ssh(ssh_home: tuple[Path, int]) -> Callable[[], list[str]]:
    """The clients of this test's sshd that still run after a moment, except those of this process."""
    config = str(ssh_home[0] / "config")

    def left() -> list[str]:
        deadline = Deadline("ssh has ended", 10)
        while True:
            mine = psutil.Process().children(recursive=True)
            others = [command_of(each) for each in psutil.process_iter() if each not in mine]
            found = [" ".join(command) for command in others if config in command]
            if not found or deadline.is_over:
                return found
            deadline.clock.sleep(0.1)

    return left


def test_a_control_persist_of_the_user_leaves_no_ssh_behind(
    far: DockerSite, left_of_ssh: Callable[[], list[str]]
) -> None:
    ended = far.cakravia("status")
    assert ended.status == 0, ended.output
    assert left_of_ssh() == []


def test_a_killed_command_leaves_no_ssh_behind(
    far: DockerSite, ssh_home: tuple[Path, int], left_of_ssh: Callable[[], list[str]]
) -> None:
    folder, port = ssh_home
    url = f"ssh://{getpass.getuser()}@127.0.0.1:{port}"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_TUNNEL, url],
        env={**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        text=True,
    ) as command:
        assert command.stdout is not None
        assert command.stdout.readline() == "connected\n"
        command.kill()
    assert left_of_ssh() == []


def test_a_failed_ssh_connection_is_an_error_with_a_remedy(far: DockerSite) -> None:
    ended = far.cakravia("--set", "docker.host=ssh://nobody@127.0.0.1:1", "status")
    assert ended.status == 4, ended.output
    assert "ssh to nobody@127.0.0.1 does not work" in ended.output
    assert "try: ssh -p 1 nobody@127.0.0.1" in ended.output
