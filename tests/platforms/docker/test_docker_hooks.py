"""Hooks in containers of their own: the candidate's image, user, environment, secrets and network."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cakravia_verify.platforms.commands import VersionCommand
from cakravia_verify.system.clock import Deadline, poll
from tests.platforms.docker.docker_stage import DockerSite
from tests.plugin.sessions.shop import QUICK_MIX

if TYPE_CHECKING:
    from docker import DockerClient

    from tests.platforms.docker.conftest import MakeSite

TELL = (
    "import json, os, sys; told = json.load(sys.stdin); "
    "print('told', told['at'], told['version'], os.environ['CAKRAVIA_AT'], os.environ['APP_VERSION'], os.getuid()); "
    "print('slot' if 'REQUEST_LOG' in os.environ else 'no slot'); "
    "print('secret', open('/run/secrets/token').read())"
)


def hook(at: str, script: str, more: str = "") -> str:
    return f'[[hooks]]\nat = "{at}"\nname = "{at}"\ncommand = {json.dumps(["python", "-c", script])}\n{more}\n'


def containers(client: DockerClient, site: DockerSite) -> list[Any]:
    return [c for c in client.containers.list(all=True) if (c.name or "").startswith(f"{site.name}-hook")]


def test_hooks_run_in_the_candidates_image_and_leave_nothing(make_site: MakeSite, client: DockerClient) -> None:
    hooks = "".join(hook(at, TELL) for at in ("before-stage", "before-switch", "after-promote"))
    site = make_site(docker='secrets = { token = "token.txt" }', more=QUICK_MIX + hooks)
    (site.folder / "token.txt").write_text("s3cret")
    ended = site.deploy("v1")
    assert ended.status == 0, ended.output
    log = (site.folder / "reports" / "latest" / "hooks.log").read_text()
    for at in ("before-stage", "before-switch", "after-promote"):
        assert f"told {at} v1 {at} v1 10001" in log, log
    assert "no slot" in log
    assert "secret s3cret" in log
    assert containers(client, site) == []


def test_a_command_without_an_end_is_removed_with_its_container(make_site: MakeSite, client: DockerClient) -> None:
    site = make_site()
    platform = site.open().platform
    artifact = platform.build("v1", deadline=Deadline("it is built", 120.0))
    command = VersionCommand(("sh", "-c", "echo begun; sleep 300"), {"CAKRAVIA_RELEASE": "r1"})
    platform.run_command(artifact, command)
    assert len(containers(client, site)) == 1
    platform.end_commands("r1")
    assert containers(client, site) == []
    second = platform.run_command(artifact, VersionCommand(("sh", "-c", "cat; exit 3"), stdin=b"the facts"))
    poll(lambda: second.status() is not None, deadline=Deadline("the command ends", 30.0))
    assert second.status() == 3
    second.end()
    assert second.output() == "the facts"
    assert containers(client, site) == []


def test_a_slot_reads_its_role_and_cannot_write_it(make_site: MakeSite, client: DockerClient) -> None:
    site = make_site()
    for version in ("v1", "v2"):
        ended = site.deploy(version)
        assert ended.status == 0, ended.output
    for colour, role in (("blue", "inactive"), ("green", "active")):
        slot = client.containers.get(f"{site.name}-app-{colour}")
        said: Any = slot.exec_run(["sh", "-c", "cat $DEPLOYMENT_ROLE_FILE"]).output
        assert said.decode().strip() == role
        script = "echo active > $DEPLOYMENT_ROLE_FILE || rm -f $DEPLOYMENT_ROLE_FILE"
        assert slot.exec_run(["sh", "-c", script]).exit_code != 0
