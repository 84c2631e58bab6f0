"""A real Django project with Postgres, released with its own compose file as it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.platforms.docker.docker_stage import DockerSite
from tests.platforms.docker.real_projects import QUIETER, compose, django_site

if TYPE_CHECKING:
    from docker import DockerClient

    from tests.platforms.docker.conftest import MakeSite

# Everything in this file happens to one site, in this order.


@pytest.fixture(scope="module")
def shop(make_site: MakeSite, client: DockerClient) -> Iterator[DockerSite]:
    """The project in a folder of its own, with its database; nothing is released yet."""
    with django_site(make_site, client) as site:
        yield site


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


def worker_of(site: DockerSite) -> dict[str, str]:
    told: dict[str, str] = json.loads(site.cakravia("status", "--json").output)["companions"]
    return told


def test_the_worker_of_the_promoted_version_works_and_each_version_has_worked(shop: DockerSite) -> None:
    assert worker_of(shop) == {"worker": "v1.1.0"}
    assert {"v1.0.0", "v1.1.0"} <= set(json.loads(text_of(shop, "/indexed/")))
    assert "worker of v1.1.0 works" in shop.cakravia("logs", "worker").output


def test_a_worker_that_compose_runs_as_well_is_refused_before_a_release(shop: DockerSite) -> None:
    compose(shop, "up", "--detach", "--no-deps", "worker")
    ended = shop.deploy("v1.2.0", *QUIETER)
    compose(shop, "rm", "--stop", "--force", "worker")
    assert ended.status == 4, ended.output
    assert "two of them would work at once" in ended.output


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
    assert worker_of(shop) == {"worker": "v1.0.0"}


def test_django_is_up_again_with_its_worker_networks_and_secrets(shop: DockerSite, client: DockerClient) -> None:
    assert shop.cakravia("down").status == 0
    assert not client.containers.list(all=True, filters={"label": [f"cakravia.site={shop.name}", "cakravia.companion"]})
    ended = shop.cakravia("up")
    assert ended.status == 0, ended.output
    assert "Notes, v1.0.0" in text_of(shop, "/")
    assert worker_of(shop) == {"worker": "v1.0.0"}


@pytest.mark.slow
def test_the_suite_for_containers_holds_for_a_django_project(shop: DockerSite) -> None:
    ended = shop.check_containers()
    assert ended.status == 0, ended.output
