"""An engine behind ssh://: the same release, with nothing shared but one ssh connection."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from cakravia_verify.slots import Colour
from cakravia_verify.system.clock import Deadline, poll
from tests.platforms.docker.docker_stage import DockerSite
from tests.ports import free_ports

if TYPE_CHECKING:
    from tests.platforms.docker.conftest import MakeSite

SERVER = "/usr/sbin/sshd"


@pytest.fixture(scope="module")
def ssh_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """A folder with an `ssh` that knows the way to an sshd of this test's own, and that sshd's port."""
    if not Path(SERVER).exists() or not shutil.which("ssh"):
        pytest.skip("there is no sshd here")
    folder = tmp_path_factory.mktemp("ssh")
    folder.chmod(0o700)
    for key in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key], check=True)
    (folder / "authorized").write_text((folder / "user.pub").read_text())
    (port,) = free_ports(1)
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile {folder}/pid\n"
        f"AuthorizedKeysFile {folder}/authorized\nStrictModes no\nPasswordAuthentication no\nUsePAM no\n"
        "PermitRootLogin prohibit-password\n"
    )
    (folder / "known").write_text(f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text()}")
    # What a user has in ~/.ssh/config; the tests' own must not be touched.
    (folder / "bin").mkdir()
    program = folder / "bin" / "ssh"
    options = f"-i {folder}/user -o UserKnownHostsFile={folder}/known -o IdentitiesOnly=yes"
    program.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} {options} "$@"\n')
    program.chmod(0o755)
    Path("/run/sshd").mkdir(exist_ok=True)
    server = subprocess.Popen([SERVER, "-D", "-e", "-f", folder / "sshd_config"], stderr=subprocess.DEVNULL)

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    poll(listens, deadline=Deadline("sshd listens", 10))
    yield folder, port
    server.terminate()
    server.wait(10)


@pytest.fixture(scope="module")
def far(make_site: MakeSite, ssh_home: tuple[Path, int]) -> DockerSite:
    """A plain application released twice on the engine that DOCKER_HOST=ssh://... names."""
    folder, port = ssh_home
    environment = {
        "DOCKER_HOST": f"ssh://{getpass.getuser()}@127.0.0.1:{port}",
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
    }
    site = make_site(application="node_app", base="node", profile="generic", more="", environment=environment)
    for version in ("v1.0.0", "v1.1.0"):
        ended = site.deploy(version)
        assert ended.status == 0, ended.output
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


def test_the_way_back_works_over_ssh(far: DockerSite) -> None:
    ended = far.roll_back()
    assert ended.status == 0, ended.output
    assert "v1.0.0 serves users" in far.cakravia("status").output


def test_a_failed_ssh_connection_is_an_error_with_a_remedy(far: DockerSite) -> None:
    ended = far.cakravia("--set", "docker.host=ssh://nobody@127.0.0.1:1", "status")
    assert ended.status == 4, ended.output
    assert "ssh to nobody@127.0.0.1 does not work" in ended.output
    assert "try: ssh -p 1 nobody@127.0.0.1" in ended.output
