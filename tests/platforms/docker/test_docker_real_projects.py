"""Twenty switches of each real project, under its own mix: what they took, and that no request was lost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.platforms.docker.docker_stage import DockerSite
from tests.platforms.docker.real_projects import QUIETER, django_site, next_site

if TYPE_CHECKING:
    from docker import DockerClient

    from tests.platforms.docker.conftest import MakeSite

pytestmark = pytest.mark.slow  # the tests of the Django project are the default ones
SWITCHES = 20


@pytest.fixture(scope="module", params=["django", "next"])
def project(
    request: pytest.FixtureRequest, make_site: MakeSite, client: DockerClient, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DockerSite]:
    """One of the projects, with its first version."""
    opened = (
        django_site(make_site, client)
        if request.param == "django"
        else next_site(make_site, client, tmp_path_factory.mktemp("npm"))
    )
    with opened as site:
        ended = site.deploy("v0", *QUIETER)
        assert ended.status == 0, ended.output
        yield site


def measured_by(site: DockerSite) -> dict[str, Any]:
    verdict = site.verdict()
    measured: dict[str, Any] = verdict["evidence"]["measured"]
    return measured | {"switch": verdict["switch"]["seconds"]}


def test_twenty_switches_of_a_real_project_lose_no_request(project: DockerSite) -> None:
    rows = []
    for number in range(1, SWITCHES + 1):
        is_rollback = number % 4 == 0
        ended = project.roll_back(*QUIETER) if is_rollback else project.deploy(f"v{number}", *QUIETER)
        assert ended.status == 0, ended.output
        rows.append(measured_by(project))
    total = {name: sum(row[name] for row in rows) for name in ("sent", "lost", "errors", "duplicated")}
    slowest = max(row["switch"] or 0.0 for row in rows)
    name = "Next.js" if (project.folder / "next.config.mjs").exists() else "Django"
    p99 = max(row["p99"] for row in rows)
    print(f"\n{name}: {SWITCHES} switches, {total}, slowest switch {slowest * 1000:.1f} ms, worst p99 {p99:.3f} s")
    assert (total["lost"], total["duplicated"]) == (0, 0)
    assert total["sent"] > SWITCHES * 50


def test_a_picture_is_optimised_once_and_every_write_succeeds(project: DockerSite) -> None:
    if not (project.folder / "next.config.mjs").exists():
        pytest.skip("only the Next.js project has pictures")
    path = "/_next/image?url=%2Fpicture.png&w=64&q=75"
    answers = [httpx.get(f"{project.url}{path}", trust_env=False, timeout=30) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[1].headers["X-Nextjs-Cache"] == "HIT"
    # What the settings make writable is all that it writes.
    smoke = next(row for row in reversed(project.history()) if row["event"] == "step.done" and row["step"] == "smoke")
    assert smoke["write_failures"] == []
    assert "EROFS" not in project.cakravia("logs", "blue").output + project.cakravia("logs", "green").output
