"""A front page that is none is refused, with no more settings than profile = "generic"."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.plugin.sessions.shop import Shop
from tests.plugin.sessions.test_session_foreign_application import write_settings


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    made = Shop(tmp_path_factory.mktemp("site"))
    write_settings(made, environment=f'FRONT = "html", SPOILED = "{made.folder / "spoiled"}"')
    ended = made.deploy("v1.0.0")
    assert ended.status == 0, ended.output
    yield made
    assert made.tear_down() == []


def release(shop: Shop, front: str, *arguments: str) -> int:
    told = ("--set", f'app.environment.FRONT="{front}"', "--set", 'release.smoke=[{path="/health"}]')
    ended = shop.deploy("v1.1.0", *told, *arguments)
    return ended.status


def content(shop: Shop) -> tuple[str, str]:
    (check,) = [each for each in shop.verdict()["checks"] if each["name"] == "content"]
    return check["standing"], check["value"]


@pytest.mark.parametrize(
    ("front", "why"),
    [
        ("empty", "an empty body instead of"),
        pytest.param("null", "no element of a page is left", marks=pytest.mark.slow),
        pytest.param("traceback", "the body says 'Traceback", marks=pytest.mark.slow),
        pytest.param("202", "status 202 instead of 200", marks=pytest.mark.slow),
        pytest.param("204", "status 204 instead of 200", marks=pytest.mark.slow),
    ],
)
def test_a_front_page_without_content_reaches_no_user(shop: Shop, front: str, why: str) -> None:
    assert release(shop, front) == 1
    assert content(shop)[0] == "failed"
    assert f"page: {why}" in content(shop)[1]
    assert shop.verdict()["switch"]["at"] is None
    active = shop.observe().active
    assert active is not None
    assert active.version == "v1.0.0"
    assert "Answers side by side" in (shop.folder / "reports" / "latest" / "report.html").read_text()


def test_a_version_that_fails_once_users_are_back_on_it_is_told_first(shop: Shop) -> None:
    spoiled = shop.folder / "spoiled"
    told = ("--set", f'app.environment.SPOILS="{spoiled}"', "--set", 'app.environment.SPOILED=""')
    try:
        assert shop.deploy("v1.2.0", *told, "-k", "not lost").status == 10
    finally:
        spoiled.unlink(missing_ok=True)
    verdict = shop.verdict()
    assert verdict["what_happened"].startswith("THE VERSION THAT USERS ARE ON FAILS: ")
    assert "GET page" in verdict["what_happened"]
    assert "It fails: see " in verdict["next_step"]


@pytest.mark.slow
def test_a_changed_page_and_an_accepted_change_are_promoted(shop: Shop) -> None:
    assert release(shop, "changed") == 0
    assert content(shop) == ("passed", "1 kinds of requests compared")
    assert release(shop, "202", "--redeploy", "--accept-changes", "page") == 0
    assert any("(accepted)" in finding for finding in shop.verdict()["findings"])
