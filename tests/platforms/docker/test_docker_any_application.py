"""Applications that are not ours, and not Python, are released with the same suites, gate and report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from tests.platforms.docker.conftest import MakeSite
    from tests.platforms.docker.docker_stage import DockerSite

pytestmark = pytest.mark.slow  # a release over ssh is one of the same application
ONLY_HEALTH = """
[contract]
health = "/health"
ready = ""
live = ""
status = ""
slot_field = ""
version_field = ""
slot_header = ""
version_header = ""
in_flight_field = ""
"""


@pytest.fixture(scope="module")
def node(make_site: MakeSite) -> DockerSite:
    site = make_site(application="node_app", base="node", profile="generic", more="")
    for version in ("v1.0.0", "v1.1.0"):
        ended = site.deploy(version)
        assert ended.status == 0, ended.output
    return site


def test_a_node_server_is_released_twice_and_users_lose_nothing(node: DockerSite) -> None:
    verdict = node.verdict()
    assert (verdict["version"], verdict["decision"]) == ("v1.1.0", "PROMOTE")
    assert verdict["evidence"]["measured"]["lost"] == 0


def test_users_of_a_node_server_reach_the_new_version(node: DockerSite) -> None:
    assert httpx.get(node.url, trust_env=False).headers["X-Deployment-Version"] == "v1.1.0"


def test_the_request_log_of_a_node_server_is_evidence(node: DockerSite) -> None:
    assert list((node.folder / "reports" / "latest").resolve().glob("application-*.log"))


def test_a_node_server_goes_back_a_version(node: DockerSite) -> None:
    ended = node.roll_back()
    assert ended.status == 0, ended.output
    assert httpx.get(node.url, trust_env=False).headers["X-Deployment-Version"] == "v1.0.0"


def test_the_suite_for_containers_holds_for_a_node_server(node: DockerSite) -> None:
    ended = node.check_containers()
    assert ended.status == 0, ended.output


@pytest.fixture(scope="module")
def plain(make_site: MakeSite) -> DockerSite:
    site = make_site(application="plain_app", base="nginx", profile="generic", more=ONLY_HEALTH)
    for version in ("v1.0.0", "v1.1.0"):
        ended = site.deploy(version)
        assert ended.status == 0, ended.output
    return site


@pytest.mark.slow
def test_an_application_that_has_only_health_is_released_twice(plain: DockerSite) -> None:
    verdict = plain.verdict()
    assert (verdict["version"], verdict["decision"]) == ("v1.1.0", "PROMOTE")


@pytest.mark.slow
def test_an_application_that_has_only_health_goes_back_a_version(plain: DockerSite) -> None:
    ended = plain.roll_back()
    assert ended.status == 0, ended.output


@pytest.mark.slow
def test_the_suite_for_containers_holds_for_an_application_that_has_only_health(plain: DockerSite) -> None:
    ended = plain.check_containers()
    assert ended.status == 0, ended.output


@pytest.mark.slow
def test_up_starts_the_promoted_version_of_two_with_the_same_image(plain: DockerSite) -> None:
    assert plain.cakravia("down").status == 0
    assert plain.cakravia("up").status == 0
    assert "v1.0.0 serves users" in plain.cakravia("status").output


ALLOWED_HOST = """
[contract]
health = "/health"
ready = ""
live = ""
status = ""
[app.environment]
ALLOWED_HOST = "shop.example.com"
FORCE_TLS = "1"
"""


@pytest.mark.slow
def test_an_application_that_answers_its_own_name_by_https_is_released_twice(make_site: MakeSite) -> None:
    site = make_site(application="../tests/plugin/sessions/applications", profile="generic", more=ALLOWED_HOST)
    asked = ("--set", "site.host=shop.example.com", "--set", "site.scheme=https")
    for version in ("v1.0.0", "v1.1.0"):
        ended = site.deploy(version, *asked)
        assert ended.status == 0, ended.output
    measured = site.verdict()["evidence"]["measured"]
    assert (measured["lost"], measured["errors"]) == (0, 0)
