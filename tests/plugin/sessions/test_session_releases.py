"""The life of a site, told in order: first release, second, back, and what an operator sees at each point.

The tests of this module share one site and build on each other: each is one command of a day's work.
"""

from __future__ import annotations

import csv
import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator

import duckdb
import jsonschema  # type: ignore[import-untyped]
import pytest

from cakravia_verify.release.steps import STEPS
from cakravia_verify.report.verdict.schema import verdict_schema
from tests.plugin.sessions.shop import Ended, Shop, Witness


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    made = Shop(tmp_path_factory.mktemp("day"), profile="reference")
    yield made
    assert made.tear_down() == []


@pytest.fixture(scope="module")
def first(shop: Shop) -> Ended:
    return shop.deploy("v1.0.0", "--reason", "the first of all")


@pytest.fixture(scope="module")
def identity_of_first(shop: Shop, first: Ended) -> str:
    active = shop.observe().active
    assert active is not None
    return active.identity


@pytest.fixture(scope="module")
def second(shop: Shop, first: Ended, identity_of_first: str) -> tuple[Ended, Witness]:
    with Witness(shop.users) as witness:
        ended = shop.deploy("v1.1.0")
    return ended, witness


@pytest.fixture(scope="module")
def back(shop: Shop, second: tuple[Ended, Witness]) -> tuple[Ended, Witness]:
    with Witness(shop.users) as witness:
        ended = shop.roll_back("--reason", "Critical bug found")
    return ended, witness


def stands_by(shop: Shop) -> bool:
    """Return whether the version before runs in the idle slot, and would answer users if the active slot died."""
    state = shop.observe()
    return state.slots.idle is not None and state.proxy.has_failover


def test_first_release_brings_an_empty_site_up(shop: Shop, first: Ended) -> None:
    assert first.status == 0, first.output
    assert "PROMOTE" in first.output


def test_site_survives_the_session(shop: Shop, first: Ended, identity_of_first: str) -> None:
    assert shop.serving() == "v1.0.0"
    assert shop.traffic() == []


def test_status_tells_who_serves(shop: Shop, first: Ended) -> None:
    told = shop.status()
    assert (told["active"], told["version"], told["drift"], told["lock"]) == ("blue", "v1.0.0", [], None)
    shown = shop.cakravia("status")
    assert shown.status == 0
    assert "v1.0.0 serves users on blue" in shown.output


def test_second_release_takes_the_other_slot(shop: Shop, second: tuple[Ended, Witness]) -> None:
    ended, _ = second
    assert ended.status == 0, ended.output
    assert shop.answer() == (200, "green", "v1.1.0")


def test_users_lose_nothing_to_the_switch(shop: Shop, second: tuple[Ended, Witness]) -> None:
    _, witness = second
    assert witness.failures == []
    assert {slot for _, slot in witness.answers} == {"blue", "green"}
    measured = shop.verdict()["evidence"]["measured"]
    assert (measured["lost"], measured["duplicated"], measured["fence_violations"]) == (0, 0, 0)
    assert measured["sent"] >= 100


def test_no_user_returns_to_the_old_slot(second: tuple[Ended, Witness]) -> None:
    slots = [slot for _, slot in second[1].answers]
    assert "blue" not in slots[slots.index("green") :]


def test_old_slot_is_kept_warm(shop: Shop, second: tuple[Ended, Witness], identity_of_first: str) -> None:
    blue = shop.observe().slots.blue
    assert blue is not None
    assert blue.identity == identity_of_first


def test_report_is_one_page_with_the_verdict(shop: Shop, second: tuple[Ended, Witness]) -> None:
    page = (shop.latest() / "report.html").read_text()
    assert "PROMOTE" in page
    assert "v1.1.0" in page
    assert '<link rel="stylesheet"' not in page
    assert "<script src" not in page


def test_verdict_is_what_its_schema_says(shop: Shop, second: tuple[Ended, Witness]) -> None:
    jsonschema.validate(shop.verdict(), verdict_schema())


def test_gate_command_accepts_the_verdict_of_exactly_this_version(shop: Shop, second: tuple[Ended, Witness]) -> None:
    verdict = str(shop.reports / "latest" / "verdict.json")
    digest = shop.verdict()["digest"]
    assert shop.cakravia("gate", verdict, "--version", "v1.1.0", "--digest", digest).status == 0
    assert {"report.html", "junit.xml"} <= set(shop.verdict()["files"])
    assert shop.cakravia("gate", verdict, "--version", "v1.2.0", "--digest", digest).status == 10
    assert shop.cakravia("gate", verdict, "--version", "v1.1.0", "--digest", "sha256:other").status == 10


def test_every_check_is_in_junit(shop: Shop, second: tuple[Ended, Witness]) -> None:
    root = ElementTree.parse(shop.latest() / "junit.xml").getroot()  # noqa: S314 - our own file
    suite = root.find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors"), suite.get("skipped")) == (
        "7",
        "0",
        "0",
        "0",
    )


def test_every_request_is_in_the_records_and_in_the_ledger(shop: Shop, second: tuple[Ended, Witness]) -> None:
    with (shop.latest() / "requests.csv").open() as file:
        recorded = {row["id"] for row in csv.DictReader(file)}
    rows = duckdb.read_parquet(f"{shop.latest()}/ledger/*.parquet").project("id").fetchall()
    assert {row[0] for row in rows} == recorded
    assert json.loads((shop.latest() / "traffic.json").read_text())["finished"] == len(recorded)


def test_history_has_intent_and_result_of_every_step(shop: Shop, second: tuple[Ended, Witness]) -> None:
    release = shop.verdict()["release"]
    entries = [entry for entry in shop.history() if entry["release"] == release]
    steps = [step.name for step in STEPS]
    assert [e["step"] for e in entries if e["event"] == "step.intent"] == steps
    assert [e["step"] for e in entries if e["event"] == "step.done"] == steps
    assert entries[0]["event"] == "release.started"
    assert [e["event"] for e in entries].index("release.verdict") < [(e["event"], e["step"]) for e in entries].index(
        ("step.intent", "promote")
    )
    assert entries[-1]["event"] == "release.finished"
    assert entries[-1]["outcome"] == "promoted"


def test_active_version_is_not_released_again_by_accident(shop: Shop, second: tuple[Ended, Witness]) -> None:
    before = shop.picture()
    ended = shop.deploy("v1.1.0")
    assert ended.status == 4
    assert "v1.1.0 is active already, on green" in ended.output
    assert "--redeploy" in ended.output
    assert shop.picture() == before


def test_rollback_goes_to_the_version_before(shop: Shop, back: tuple[Ended, Witness]) -> None:
    ended, _ = back
    assert ended.status == 0, ended.output
    assert shop.answer() == (200, "blue", "v1.0.0")
    assert shop.verdict()["reason"] == "Critical bug found"


def test_warm_rollback_starts_nothing(shop: Shop, back: tuple[Ended, Witness], identity_of_first: str) -> None:
    active = shop.observe().active
    assert active is not None
    assert active.identity == identity_of_first


def test_users_lose_nothing_to_the_rollback(back: tuple[Ended, Witness]) -> None:
    assert back[1].failures == []
    assert {slot for _, slot in back[1].answers} == {"blue", "green"}


def test_there_is_nothing_before_the_first_version(shop: Shop, back: tuple[Ended, Witness]) -> None:
    before = shop.picture()
    ended = shop.roll_back("--reason", "too far")
    assert ended.status == 4
    assert "there is no version before v1.0.0" in ended.output
    assert shop.picture() == before


def test_rollback_to_a_version_that_is_not_retained_touches_nothing(shop: Shop, back: tuple[Ended, Witness]) -> None:
    before = shop.picture()
    ended = shop.roll_back("--version", "v0.9.0")
    assert ended.status == 4
    assert "version v0.9.0 is not retained here; retained: " in ended.output
    assert "v1.1.0" in ended.output
    assert shop.picture() == before


@pytest.fixture(scope="module")
def forward(shop: Shop, back: tuple[Ended, Witness]) -> Ended:
    """To a named version, which was rolled back from and still runs; users first."""
    return shop.cakravia("rollback", "--now", "--version", "v1.1.0", "--reason", "it was not that")


def test_rollback_goes_to_a_named_version(shop: Shop, forward: Ended) -> None:
    assert forward.status == 0, forward.output
    assert shop.serving() == "v1.1.0"


def test_rollback_now_moves_users_before_its_session_proves_the_version(shop: Shop, forward: Ended) -> None:
    verdict = shop.verdict()
    assert (verdict["decision"], verdict["version"]) == ("PROMOTE", "v1.1.0")
    assert verdict["evidence"]["measured"]["sent"] >= 100
    entries = shop.history()
    (release,) = {each["release"] for each in entries if each.get("reason") == "it was not that"}
    steps = [(each["event"], each["step"]) for each in entries if each.get("release") == release and each.get("step")]
    assert steps.index(("step.done", "confirm")) < steps.index(("step.intent", "prove"))
    assert steps.index(("step.done", "bake")) < steps.index(("step.intent", "promote"))


def test_redeploy_releases_the_active_version_again(shop: Shop, forward: Ended) -> None:
    ended = shop.deploy("v1.1.0", "--redeploy")
    assert ended.status == 0, ended.output
    assert shop.answer() == (200, "blue", "v1.1.0")


def test_unhealthy_target_is_refused_and_users_stay(shop: Shop, forward: Ended) -> None:
    """The version to go back to was good once; now it would not get ready."""
    was = shop.answer()
    ended = shop.roll_back(
        "--version", "v1.0.0", "--set", 'app.environment.MISBEHAVE_v1_0_0="never-ready"', "--set", "health.deadline=2"
    )
    assert ended.status == 1, ended.output
    assert shop.answer() == was
    assert "Users stayed on" in ended.output
    assert stands_by(shop)  # its slot was needed; the version there before stands by in it again


def test_history_lists_every_release(shop: Shop, forward: Ended) -> None:
    listed = [json.loads(line) for line in shop.cakravia("history", "--json").output.splitlines()]
    assert [(each["kind"], each["version"], each["outcome"]) for each in listed[:4]] == [
        ("deploy", "v1.0.0", "promoted"),
        ("deploy", "v1.1.0", "promoted"),
        ("rollback", "v1.0.0", "promoted"),
        ("rollback", "v1.1.0", "promoted"),
    ]
    shown = shop.cakravia("history")
    assert "Critical bug found" in shown.output
    assert shown.status == 0


@pytest.mark.parametrize("what", ["blue", "green", "proxy"])
def test_logs_can_be_read(what: str, shop: Shop, forward: Ended) -> None:
    shown = shop.cakravia("logs", what)
    assert shown.status == 0
    assert shown.output.strip()


def test_down_and_up_bring_back_what_was_active(shop: Shop, forward: Ended) -> None:
    version = shop.serving()
    assert shop.cakravia("down").status == 0
    assert shop.processes() == []
    assert "nothing runs" in shop.cakravia("status").output
    up = shop.cakravia("up")
    assert up.status == 0, up.output
    assert shop.serving() == version
    assert stands_by(shop), up.output
