"""pytest suites/load, run as an operator runs it: on a live site of its own, which it must leave as it was."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from cakravia_verify.report.verdict.file import read_verdict, still_holds
from cakravia_verify.report.verdict.surrounding import altered_files
from cakravia_verify.site.lock import Lock
from cakravia_verify.system.clock import Deadline, poll
from tests.plugin.sessions.shop import SUITES, Ended, Shop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BAD = "v2.0.0"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A live site on v1.0.0."""
    site = Shop(tmp_path_factory.mktemp("load"))
    deployed = site.deploy("v1.0.0", "--bake", "0.5", "--set", "budget.min_requests=20", "--set", "budget.min_each=0")
    assert deployed.status == 0, deployed.output
    yield site
    site.tear_down()


def load(shop: Shop, *arguments: str, **named: Any) -> Ended:
    return shop.pytest(str(SUITES / "load"), *shop.site, *arguments, **named)


def wait_for_requests(shop: Shop) -> None:
    """The newest load has sent something."""

    def is_flowing() -> bool:
        newest = max(shop.reports.glob("*-load-*"), key=lambda folder: folder.stat().st_mtime)
        records = newest / "requests.csv"
        return records.exists() and records.read_bytes().count(b"\n") > 20

    poll(lambda: bool(shop.traffic()) and is_flowing(), deadline=Deadline("the load flows", 30), every=0.2)


def report(shop: Shop) -> Path:
    return (shop.reports / "latest-load").resolve()


def verdict(shop: Shop) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((report(shop) / "verdict.json").read_text())
    return told


@pytest.fixture(scope="module")
def borne(shop: Shop) -> tuple[Ended, dict[str, Any], dict[str, Any]]:
    """A load that the site bears, and the site before and after it."""
    before = shop.picture()
    ended = load(shop, "--duration", "1.5", "--rate", "160")
    assert ended.status == 0, ended.output
    return ended, before, shop.picture()


def test_a_load_the_site_bears_is_within_budget(
    shop: Shop, borne: tuple[Ended, dict[str, Any], dict[str, Any]]
) -> None:
    told = verdict(shop)
    assert (told["kind"], told["decision"], told["outcome"], told["exit_status"]) == (
        "load",
        "WITHIN BUDGET",
        "measured",
        0,
    )
    assert told["version"] == "v1.0.0"
    assert told["evidence"]["measured"]["sent"] >= 240
    assert told["evidence"]["measured"]["lost"] == 0


def test_a_load_leaves_its_report_and_its_records(
    shop: Shop, borne: tuple[Ended, dict[str, Any], dict[str, Any]]
) -> None:
    names = {path.name for path in report(shop).iterdir()}
    assert {
        "report.html",
        "verdict.json",
        "junit.xml",
        "requests.csv",
        "traffic.json",
        "ledger",
        "locust.html",
    } <= names
    page = (report(shop) / "report.html").read_text()
    assert "WITHIN BUDGET" in page
    assert "Users were not switched" in page
    assert altered_files(read_verdict(report(shop))) == []


def test_a_load_changes_nothing_of_the_site(borne: tuple[Ended, dict[str, Any], dict[str, Any]]) -> None:
    _, before, after = borne
    for what in ("history", "processes", "latest"):
        assert after[what] == before[what]
    assert {name for name in after["files"] if not name.startswith("reports")} == {
        name for name in before["files"] if not name.startswith("reports")
    }


def test_a_load_never_allows_a_promotion(shop: Shop, borne: tuple[Ended, dict[str, Any], dict[str, Any]]) -> None:
    read = read_verdict(report(shop))
    assert still_holds(read, version=read.version, digest=read.digest) != []


def test_a_load_ends_early_when_the_budget_is_hopelessly_broken(shop: Shop) -> None:
    ended = load(shop, "--duration", "60", "--rate", "50", "--set", "budget.p99=0.0001", wait=40)
    told = verdict(shop)
    assert (ended.status, told["decision"]) == (1, "OVER BUDGET")
    assert "took longer than 0.0001 s" in told["evidence"]["failure"]
    assert told["evidence"]["bake_seconds"] < 30


def test_a_load_makes_way_for_a_release(shop: Shop) -> None:
    running = shop.begin_pytest(str(SUITES / "load"), *shop.site, "--duration", "60")
    wait_for_requests(shop)
    lock = Lock(shop.state / "lock")
    lock.acquire("deploy v9")
    try:
        ended = running.wait(30)
    finally:
        lock.release()
    assert ended.status == 10, ended.output
    assert verdict(shop)["decision"] == "INCONCLUSIVE"
    assert "made way for" in verdict(shop)["why"]


def test_a_load_is_refused_while_a_release_holds_the_site(shop: Shop) -> None:
    lock = Lock(shop.state / "lock")
    lock.acquire("deploy v9")
    try:
        ended = load(shop, "--duration", "2")
    finally:
        lock.release()
    assert ended.status == 12
    assert "deploy v9" in ended.output
    assert not ended.has_traceback


def test_an_interrupted_load_is_inconclusive_and_leaves_no_traffic(shop: Shop) -> None:
    running = shop.begin_pytest(str(SUITES / "load"), *shop.site, "--duration", "60")
    wait_for_requests(shop)
    os.kill(running.process.pid, signal.SIGTERM)
    ended = running.wait(30)
    assert (ended.status, verdict(shop)["decision"]) == (2, "INCONCLUSIVE")
    assert shop.traffic_left() == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--duration", "0"), "--duration 0"),
        (("--duration", "nan"), "--duration nan"),
        (("--version", BAD), "a load releases nothing"),
        (("--bake", "5"), "--bake is for releases"),
        (("--duration", "1", "--rate", "10"), "too few to prove anything"),
        (("--set", "traffic.web_ui=0.0.0.0:8089"), "web_ui"),
    ],
)
def test_a_load_that_makes_no_sense_is_refused(shop: Shop, arguments: tuple[str, ...], said: str) -> None:
    ended = load(shop, *arguments)
    assert ended.status == 4
    assert said in ended.output
    assert not ended.has_traceback


def test_an_empty_site_is_not_loaded(tmp_path: Path) -> None:
    ended = load(Shop(tmp_path / "empty"), "--duration", "2")
    assert ended.status == 4
    assert "no users are served here" in ended.output


def test_a_release_has_no_duration(shop: Shop) -> None:
    ended = shop.deploy("v1.1.0", "--duration", "5")
    assert ended.status == 4
    assert "--duration" in ended.output
