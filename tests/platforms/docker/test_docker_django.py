"""A real Django project with Postgres, released with its own compose file as it is."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from typing import TYPE_CHECKING

import httpx
import pytest
from docker.errors import ImageNotFound

from cakravia_verify.testing.throwaway_site import REPOSITORY
from tests.platforms.docker.docker_stage import DockerSite, base_of

if TYPE_CHECKING:
    from docker import DockerClient

    from tests.platforms.docker.conftest import MakeSite

PROJECT = REPOSITORY / "examples" / "django_app"
DOCKER = """\
compose = "docker-compose.yml"
service = "web"
port = 8000
compose_variables = { RELEASE = "{version}" }
"""
MIX = """
[contract]
health = "/health/"
ready = ""
live = ""
status = ""
slot_field = ""
version_field = ""
slot_header = ""
version_header = ""
in_flight_field = ""
[[traffic.mix]]
name = "page"
path = "/"
contains = "Notes, "
weight = 6
[[traffic.mix]]
name = "visits"
path = "/visits/"
weight = 2
[[traffic.mix]]
name = "note"
method = "POST"
path = "/notes/"
body = "a note"
expect = [201]
weight = 2
"""
# What is shown is that no request is lost. A busy machine may be slow meanwhile.
QUIETER = tuple(
    word
    for setting in (
        "traffic.rate=25",
        "release.bake=3",
        "health.deadline=60",
        "budget.p99=30",
        "budget.min_rate_held=0.5",
    )
    for word in ("--set", setting)
)


def compose(site: DockerSite, *arguments: str) -> str:
    command = ["docker", "compose", "-f", str(site.folder / "docker-compose.yml"), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


# Everything in this file happens to one site, in this order.


@pytest.fixture(scope="module")
def shop(make_site: MakeSite, client: DockerClient) -> Iterator[DockerSite]:
    """The project in a folder of its own, with its database; nothing is released yet."""
    try:
        client.images.get(base_of("postgres"))
    except ImageNotFound:
        pytest.skip(f"the engine has no image {base_of('postgres')}; .ci/provide-base-images makes it")
    site = make_site(docker=DOCKER, more=MIX)
    shutil.copytree(PROJECT, site.folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("cakravia.toml"))
    ours = [line for line in site.settings.read_text().splitlines() if not line.startswith(("context =", "build_args"))]
    site.settings.write_text("\n".join(ours) + "\n")
    (site.folder / "secrets").mkdir()
    for name in ("database_password", "django_key"):
        (site.folder / "secrets" / name).write_text(f"{name} of a test")
    (site.folder / ".env").write_text(
        f"COMPOSE_PROJECT_NAME={site.name}\nPOSTGRES_IMAGE={base_of('postgres')}\nPYTHON_IMAGE={base_of('python')}\n"
    )
    compose(site, "up", "--detach", "--wait", "db")
    yield site
    site.cakravia("down")
    compose(site, "down", "--volumes", "--timeout", "1")


def text_of(site: DockerSite, path: str) -> str:
    return httpx.get(f"{site.url}{path}", trust_env=False, timeout=10).text


def test_a_django_project_is_released_twice_with_its_own_compose_file(shop: DockerSite) -> None:
    for version in ("v1.0.0", "v1.1.0"):
        ended = shop.deploy(version, *QUIETER)
        assert ended.status == 0, ended.output
        verdict = shop.verdict()
        assert verdict["decision"] == "PROMOTE"
        assert verdict["evidence"]["measured"]["lost"] == 0
        assert f"Notes, {version}" in text_of(shop, "/")


def test_what_users_wrote_is_in_the_database_and_on_the_page(shop: DockerSite) -> None:
    assert "<li>a note</li>" in text_of(shop, "/")


def test_a_static_file_is_served_by_the_application(shop: DockerSite) -> None:
    page = text_of(shop, "/")
    path = page.partition('href="')[2].partition('"')[0]
    assert path.startswith("/static/notes.")
    assert "font:" in text_of(shop, path)


def test_both_versions_write_to_the_projects_media_volume(shop: DockerSite, client: DockerClient) -> None:
    answer = httpx.post(f"{shop.url}/uploads/", content=b"picture", trust_env=False)
    assert answer.status_code == 201
    for colour in ("blue", "green"):
        shown = client.containers.get(f"{shop.name}-app-{colour}").exec_run(["cat", "/app/media/latest.bin"])
        assert shown.output == b"picture"


def test_everyday_compose_commands_leave_the_users_of_django_alone(shop: DockerSite) -> None:
    compose(shop, "up", "--detach", "--wait", "--remove-orphans", "db")
    assert "Notes, v1.1.0" in text_of(shop, "/")


def test_django_finds_its_database_after_compose_recreated_it(shop: DockerSite) -> None:
    compose(shop, "up", "--detach", "--wait", "--force-recreate", "db")
    assert "ok" in text_of(shop, "/health/")
    assert "<li>a note</li>" in text_of(shop, "/")


def test_a_session_survives_a_rollback_that_loses_nothing(shop: DockerSite) -> None:
    with httpx.Client(base_url=shop.url, trust_env=False) as user:
        assert user.get("/visits/").json() == {"visits": 1}
        ended = shop.roll_back(*QUIETER)
        assert ended.status == 0, ended.output
        assert user.get("/visits/").json() == {"visits": 2}
    assert shop.verdict()["evidence"]["measured"]["lost"] == 0
    assert "Notes, v1.0.0" in text_of(shop, "/")


def test_django_is_up_again_with_its_networks_and_secrets(shop: DockerSite) -> None:
    assert shop.cakravia("down").status == 0
    ended = shop.cakravia("up")
    assert ended.status == 0, ended.output
    assert "Notes, v1.0.0" in text_of(shop, "/")


@pytest.mark.slow
def test_the_suite_for_containers_holds_for_a_django_project(shop: DockerSite) -> None:
    ended = shop.check_containers()
    assert ended.status == 0, ended.output
