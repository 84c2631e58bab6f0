"""A project's own tests are checks of its releases, required like ours."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator

import pytest

from tests.packaging.conftest import PROJECT, ROOT, Environment, Project

PAGE = ROOT / "docs" / "OWN_CHECKS.md"

# Three runs on a busy machine had three different results in the browser.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shop(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The example shop with its own checks; v1 serves users."""
    if not shutil.which("chromedriver"):
        pytest.skip("needs Chromium and chromedriver")
    environment.install("selenium>=4.20")
    made = Project(tmp_path_factory.mktemp("own") / "shop", environment)
    ended = made.type("cakravia", "deploy", "v1")
    assert ended.status == 0, ended.output
    yield made
    assert made.tear_down() == []


def test_own_checks_that_pass_are_in_the_verdict(shop: Project) -> None:
    standings = {check["title"]: check["standing"] for check in shop.verdict_of("v1")["checks"]}
    for title in ("Price of tea is right", "Login works in a browser", "Front page has no console error"):
        assert standings.get(title) == "passed", standings


@pytest.mark.parametrize(
    ("version", "check"),
    [
        ("v2-wrong-price", "test_price_of_tea_is_right"),
        ("v3-broken-script", "test_front_page_has_no_console_error"),
        ("v4-no-login", "test_login_works_in_a_browser"),
    ],
)
def test_version_that_breaks_an_own_check_never_reaches_users(version: str, check: str, shop: Project) -> None:
    ended = shop.type("cakravia", "deploy", version)
    assert ended.status == 1, ended.output
    claim = check.removeprefix("test_").replace("_", " ").capitalize()
    assert re.search(rf"check +FAILED +{claim}", ended.output)
    verdict = shop.verdict_of(version)
    assert (verdict["decision"], verdict["traffic"]["total"]["lost"]) == ("ROLL BACK", 0)
    assert "v1 serves users" in shop.cakravia("status").output


def test_examples_of_the_page_are_the_tested_ones() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    files = [path.read_text() for path in (PROJECT / "suites" / "deploy").glob("*.py")]
    assert len(blocks) >= 3
    for block in blocks:
        assert any(block.strip() in text for text in files), block
