"""Pages of the old version, open in a browser while users are moved to another one and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.plugin.sessions.shop import Shop
from tests.plugin.sessions.test_session_foreign_application import new_site as new_site

KEPT = 'workers = 1\nassets = ["/assets/"]\nskew = { header = "x-deployment-id" }\n'
VERSIONS = ("v1.0.0", "v1.1.0", "v1.2.0")


def keep_assets(shop: Shop) -> None:
    shop.settings.write_text(shop.settings.read_text().replace("workers = 1\n", KEPT))


def release(shop: Shop, version: str) -> None:
    ended = shop.deploy(version)
    assert ended.status == 0, ended.output


def open_pages(shop: Shop) -> dict[str, Any]:
    (check,) = [each for each in shop.verdict()["checks"] if each["name"] == "open pages"]
    return dict(check)


def statuses(shop: Shop, *versions: str) -> set[int]:
    return {shop.answer(f"/assets/{name}.{version}.js")[0] for version in versions for name in ("app", "lazy")}


def test_a_release_that_breaks_open_pages_is_rolled_back_unless_their_files_are_kept(
    new_site: Callable[..., Shop],
) -> None:
    shop = new_site(environment='ASSETS = "404"')
    release(shop, "v1.0.0")
    ended = shop.deploy("v1.1.0")
    assert ended.status == 1, ended.output
    assert "broke 1 of 1 open pages: the open page / misses" in shop.verdict()["why"]
    assert (open_pages(shop)["standing"], open_pages(shop)["threshold"]) == ("failed", "0")
    keep_assets(shop)
    release(shop, "v1.1.0")
    # Pages of both versions were open: of the one that users left, and of the candidate.
    assert (open_pages(shop)["standing"], open_pages(shop)["value"]) == ("passed", "0 of 2")
    assert statuses(shop, "v1.0.0", "v1.1.0") == {200}
    assert shop.roll_back("--reason", "a test").status == 0
    assert (open_pages(shop)["standing"], open_pages(shop)["value"]) == ("passed", "0 of 2")
    assert statuses(shop, "v1.0.0", "v1.1.0") == {200}


@pytest.mark.slow
@pytest.mark.parametrize("others", ["404", "page"])
def test_files_last_when_no_slot_runs_their_version_any_more(new_site: Callable[..., Shop], others: str) -> None:
    shop = new_site(environment=f'ASSETS = "{others}"')
    keep_assets(shop)
    for version in VERSIONS:
        release(shop, version)
    assert open_pages(shop)["standing"] == "passed"
    assert statuses(shop, *VERSIONS) == {200}
