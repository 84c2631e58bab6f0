"""What lies around a release does not decide it: configuration, plugins, streams and terminals of whoever starts it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.plugin.sessions.lanes import HOME, Lanes, Scenario, Seen, each
from tests.plugin.sessions.shop import SUITES, Ended, Shop

COPIES = ("--junitxml", "copies/out.xml", "--html", "copies/out.html")
STARTED_FROM: dict[str, Path] = {}
GATED: dict[str, Ended] = {}


def in_odd_surroundings(shop: Shop, version: str) -> Ended:
    """Everything at once that somebody's machine may hold; each has been the end of a good release."""
    STARTED_FROM[version] = shop.folder
    home = shop.folder / "home"
    home.mkdir(exist_ok=True)
    (home / ".locust.conf").write_text("run-time = 1s\n")
    environment = {
        "HOME": str(home),
        "GITHUB_STEP_SUMMARY": str(shop.folder / "nowhere" / "summary.md"),
        "PYTHONIOENCODING": "utf-8",
    }
    reason = b"caf\xe9".decode("utf-8", "surrogateescape")
    ended = shop.deploy(version, "-p", "leaky", "--reason", reason, *COPIES, environment=environment)
    promoted = json.loads(shop.cakravia("history", "--json", "--last", "1").output)
    named = ("--version", version, "--digest", promoted["digest"], "--release", promoted["release"])
    GATED[version] = shop.cakravia("gate", str(shop.reports / "latest"), *named)
    return ended


def under_nohup(shop: Shop, version: str) -> Ended:
    """A release whose terminal is closed while both versions are looked at."""
    session = [sys.executable, "-m", "pytest", str(SUITES / "deploy"), *shop.site, "--version", version]
    sabotage = {"CAKRAVIA_TEST_SABOTAGE": "hang-up@bake.begins"}
    return shop.begin(["nohup", *session, "-p", "sabotage"], environment=sabotage).wait()


ODD = Scenario("odd-surroundings", session=in_odd_surroundings)
NOHUP = Scenario("under-nohup", session=under_nohup)


@pytest.fixture
def seen(scenario: Scenario, lanes: Lanes) -> Seen:
    return lanes.seen(scenario)


@pytest.mark.parametrize("scenario", each(ODD, NOHUP))
def test_good_release_is_promoted_all_the_same(seen: Seen) -> None:
    assert seen.ended.status == 0, seen.told
    assert seen.verdict["decision"] == "PROMOTE"
    assert (seen.before[0], seen.after[0]) == (HOME, seen.version)
    assert not seen.ended.has_traceback, seen.told


@pytest.mark.parametrize("scenario", each(ODD))
def test_gate_lets_it_pass_by_what_the_history_says_was_built(seen: Seen) -> None:
    assert GATED[seen.version].status == 0, GATED[seen.version].output


@pytest.mark.parametrize("scenario", each(ODD))
def test_what_failed_beside_the_release_is_told(seen: Seen) -> None:
    assert "note: the job summary of " in seen.ended.output


@pytest.mark.parametrize("scenario", each(ODD))
def test_reason_that_is_no_text_is_kept_as_text(seen: Seen) -> None:
    assert seen.history[0]["reason"] == "caf\\xe9"
    assert seen.verdict["reason"] == "caf\\xe9"


@pytest.mark.parametrize("scenario", each(ODD))
def test_copies_of_the_report_are_where_they_were_asked_for(seen: Seen) -> None:
    xml, html = (STARTED_FROM[seen.version] / name for name in ("copies/out.xml", "copies/out.html"))
    assert "<testsuites" in xml.read_text()
    assert seen.version in html.read_text()
