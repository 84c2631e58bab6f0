"""The reference application on a real engine: released, looked at, taken back, and kept for later."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from cakravia_verify.kinds import SUITES
from cakravia_verify.slots import Colour
from cakravia_verify.system.clock import Deadline, poll

if TYPE_CHECKING:
    from docker import DockerClient

    from tests.platforms.docker.conftest import MakeSite
    from tests.platforms.docker.docker_stage import DockerSite

# Everything in this file happens to one site, in this order: a release takes seconds.


@pytest.fixture(scope="module")
def shop(make_site: MakeSite) -> DockerSite:
    """v1.1.0 serves on green, v1.0.0 is warm on blue."""
    site = make_site()
    for version in ("v1.0.0", "v1.1.0"):
        ended = site.deploy(version)
        assert ended.status == 0, ended.output
    return site


def compose(site: DockerSite, *arguments: str) -> str:
    """What the compose program says of the rendered file."""
    if not shutil.which("docker"):
        pytest.skip("there is no docker program here")
    command = ["docker", "compose", "-f", str(site.folder / "docker-compose.blue-green.yml"), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout + ended.stderr


def ids(site: DockerSite, client: DockerClient) -> dict[str, str]:
    mine: dict[str, Any] = {"label": f"cakravia.site={site.name}"}
    return {str(each.name): str(each.id) for each in client.containers.list(filters=mine)}


@pytest.mark.check
def test_a_release_under_traffic_is_promoted_and_loses_nothing(shop: DockerSite) -> None:
    verdict = shop.verdict()
    measured = verdict["evidence"]["measured"]
    assert verdict["decision"] == "PROMOTE"
    assert (measured["lost"], measured["duplicated"], measured["fence_violations"]) == (0, 0, 0)
    assert measured["sent"] >= 50


def test_only_requests_through_the_proxy_are_in_flight_on_a_slot(shop: DockerSite) -> None:
    """A monitor that keeps a connection to the slot rolled releases back: "1 still open"."""
    platform = shop.open().platform
    slot = platform.observe(Colour.GREEN)
    assert slot is not None
    with httpx.Client(trust_env=False, base_url=slot.address.url) as monitor:
        assert monitor.get("/api/health").status_code == 200
        poll(lambda: platform.connections(Colour.GREEN) == 0, deadline=Deadline("idle", 20), every=0.1)
        asking = threading.Thread(target=httpx.get, args=(f"{shop.url}/api/slow",), kwargs={"trust_env": False})
        asking.start()
        poll(lambda: platform.connections(Colour.GREEN) > 0, deadline=Deadline("in flight", 20), every=0.05)
        asking.join()


def test_the_verdict_is_bound_to_the_image_that_runs(shop: DockerSite, client: DockerClient) -> None:
    running = client.containers.get(f"{shop.name}-app-green").attrs["Image"]
    evidence = shop.verdict()["evidence"]
    assert evidence["built_digest"] == evidence["running_digest"] == shop.verdict()["digest"] == running


def test_proxy_and_application_both_testify(shop: DockerSite) -> None:
    folder = (shop.folder / "reports" / "latest").resolve()
    assert {"access.log", "application-blue.log", "application-green.log"} <= {each.name for each in folder.iterdir()}


def test_only_the_proxy_publishes_a_port(shop: DockerSite, client: DockerClient) -> None:
    published = {name: client.containers.get(name).ports for name in ids(shop, client)}
    shown = {name: [each for each in ports.values() if each] for name, ports in published.items()}
    assert shown == {
        f"{shop.name}-nginx": [[{"HostIp": "127.0.0.1", "HostPort": str(shop.users)}]],
        f"{shop.name}-app-blue": [],
        f"{shop.name}-app-green": [],
    }


def test_the_suite_for_containers_finds_everything_in_order(shop: DockerSite) -> None:
    ended = shop.check_containers()
    assert ended.status == 0, ended.output
    assert "skipped" not in ended.output


def test_prerequisites_health_and_configuration_are_in_order(shop: DockerSite) -> None:
    suites = [str(SUITES / name) for name in ("prerequisites", "health", "config")]
    ended = shop.pytest(*suites, *shop.site, "-q", "--set", "health.timeout=8")
    assert ended.status == 0, ended.output


def test_a_slot_whose_process_dies_is_started_again_by_the_engine(shop: DockerSite, client: DockerClient) -> None:
    before = client.containers.get(f"{shop.name}-app-green")
    try:
        os.kill(before.attrs["State"]["Pid"], signal.SIGKILL)
    except PermissionError:
        pytest.skip("only root may kill the process of a container")

    def is_back() -> bool:
        state = client.containers.get(f"{shop.name}-app-green").attrs["State"]
        return bool(state["Running"]) and state["StartedAt"] != before.attrs["State"]["StartedAt"]

    poll(is_back, deadline=Deadline("the engine starts green again", 30), every=0.2)
    poll(
        lambda: httpx.get(f"http://127.0.0.1:{shop.users}/").headers.get("X-Served-Slot") == "green",
        deadline=Deadline("green serves users again", 30),
        every=0.2,
    )


def test_compose_accepts_the_rendered_file_and_lists_what_runs(shop: DockerSite) -> None:
    compose(shop, "config", "--quiet")
    listed = compose(shop, "ps", "--format", "json")
    rows = [json.loads(line) for line in listed.splitlines() if line.startswith("{")]
    assert {row["Service"] for row in rows} == {"nginx", "app-blue", "app-green"}


def test_compose_shows_the_log_of_a_slot(shop: DockerSite) -> None:
    assert "reference_app v1.1.0 (green)" in compose(shop, "logs", "app-green")


def test_a_stray_compose_up_leaves_everything_alone(shop: DockerSite, client: DockerClient) -> None:
    before = ids(shop, client)
    compose(shop, "up", "--detach")
    assert ids(shop, client) == before


def test_nginx_commands_of_the_troubleshooting_page_work(shop: DockerSite, client: DockerClient) -> None:
    proxy = client.containers.get(f"{shop.name}-nginx")
    for command in (["nginx", "-t"], ["nginx", "-s", "reload"]):
        status, output = proxy.exec_run(command)
        assert status == 0, output


def test_status_and_logs_show_the_containers(shop: DockerSite) -> None:
    told = shop.cakravia("status").output
    assert "v1.1.0 serves users on green" in told
    assert "drift" not in told
    assert "reference_app v1.0.0 (blue)" in shop.cakravia("logs", "blue").output


def test_memory_and_threads_of_a_slot_are_read_from_its_container(shop: DockerSite) -> None:
    use = shop.open().platform.use(Colour.GREEN)
    assert use is not None
    assert use.memory > 1 << 20
    assert (use.threads or 0) >= 1


@pytest.mark.check
def test_a_warm_rollback_brings_users_back(shop: DockerSite) -> None:
    ended = shop.roll_back()
    assert ended.status == 0, ended.output
    assert httpx.get(f"{shop.url}/", trust_env=False).headers["X-Deployment-Version"] == "v1.0.0"


def test_a_bad_version_is_rolled_back_and_its_last_log_lines_are_kept(shop: DockerSite) -> None:
    ended = shop.deploy("v6.6.6", "--set", 'app.environment.MISBEHAVE="never-ready"', "--set", "health.deadline=3")
    assert ended.status not in (0, 70), ended.output
    site = shop.open()
    assert site.observe().drift == ()
    assert "v6.6.6" in site.platform.logs(Colour.GREEN, lines=50)
    assert httpx.get(f"{shop.url}/", trust_env=False).headers["X-Deployment-Version"] == "v1.0.0"


def test_retention_keeps_what_slots_and_rollbacks_need(shop: DockerSite, client: DockerClient) -> None:
    for version in ("v1.2.0", "v1.3.0"):
        ended = shop.deploy(version, "--set", "release.retain=1", "--set", "slots.keep_warm=false")
        assert ended.status == 0, ended.output
    repository = f"cakravia-verify/{shop.name}"
    names = [name.split(":") for image in client.images.list(repository) for name in image.tags]
    tags = [tag for name, tag in names if name == repository]  # another site may share the image
    assert sorted(tag.rpartition("-")[0] for tag in tags) == ["v1.2.0", "v1.3.0"]


def test_a_cold_rollback_starts_the_kept_image_again(shop: DockerSite, client: DockerClient) -> None:
    assert shop.open().observe().slots.idle is None
    ended = shop.roll_back("--set", "slots.keep_warm=false")
    assert ended.status == 0, ended.output
    assert httpx.get(f"{shop.url}/", trust_env=False).headers["X-Deployment-Version"] == "v1.2.0"


def test_down_stops_everything_and_up_brings_the_same_version(shop: DockerSite, client: DockerClient) -> None:
    assert shop.cakravia("down").status == 0
    assert ids(shop, client) == {}
    ended = shop.cakravia("up")
    assert ended.status == 0, ended.output
    assert httpx.get(f"{shop.url}/", trust_env=False).headers["X-Deployment-Version"] == "v1.2.0"


def test_an_idle_deployment_has_no_process_besides_nginx_and_the_application(
    shop: DockerSite, client: DockerClient
) -> None:
    titles = [row[-1] for row in client.containers.get(f"{shop.name}-nginx").top()["Processes"]]
    assert [title for title in titles if "nginx: " not in title and "init" not in title] == []
