"""Faults and the nightly regression, as an operator runs them. The complete suite of checks has one cell as well."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from cakravia_verify.faults.catalogue import FAULTS
from cakravia_verify.faults.model import Moment
from tests.plugin.sessions.shop import Shop

IS_FULL = os.environ.get("CAKRAVIA_TEST_MATRIX") == "full"
# Of the cells with a release: one of each kind of part, unless all are asked for.
SOME = ("slot-killed", "nginx-killed", "standby-killed", "bad-reload", "answers-503")
LONGEST = 3600.0


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A live site on v1.0.0."""
    site = Shop(tmp_path_factory.mktemp("failover"))
    deployed = site.deploy("v1.0.0", "--bake", "0.5", "--set", "budget.min_requests=20", "--set", "budget.min_each=0")
    assert deployed.status == 0, deployed.output
    yield site
    assert site.tear_down() == []


def picture(shop: Shop) -> dict[str, Any]:
    """The live site, without the reports of the sessions."""
    found = shop.picture()
    return found | {"files": {name: text for name, text in found["files"].items() if not name.startswith("reports")}}


def chosen(moment: Moment) -> list[str]:
    names = [fault.name for fault in FAULTS] if IS_FULL or moment is Moment.STEADY else SOME
    return [word for name in names for word in ("--fault", name)]


@pytest.mark.slow
@pytest.mark.parametrize("moment", Moment)
def test_users_lose_no_more_than_the_table_permits(shop: Shop, moment: Moment) -> None:
    before = picture(shop)
    running = shop.begin_cakravia("failover", "--moment", str(moment), *chosen(moment))
    ended = running.wait(LONGEST)
    assert ended.status == 0, ended.output[-8000:]
    rows = json.loads((shop.reports / "latest-failover" / "failover.json").read_text())
    assert len(rows) == len(chosen(moment)) / 2
    assert not [row for row in rows if row["problems"] or row["executed_twice"]]
    assert picture(shop) == before


@pytest.mark.slow
def test_a_night_never_touches_the_live_site(shop: Shop) -> None:
    before, entries = picture(shop), shop.history()
    ended = shop.begin_cakravia("regression", "--duration", "5").wait(LONGEST)
    assert ended.status == 0, ended.output[-8000:]
    assert (picture(shop), shop.history()) == (before, entries)
    (line,) = (shop.reports / "regression-figures.jsonl").read_text().splitlines()
    assert {"switch_seconds", "nginx_megabytes", "load_p99_seconds"} <= set(json.loads(line)["figures"])
