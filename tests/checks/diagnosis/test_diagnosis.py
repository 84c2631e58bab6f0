"""A broken site: the four chapters of troubleshooting collect their evidence and name the cause first."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace

import httpx
import pytest

from cakravia_verify.checks.diagnosis.cause import Cause, Chapter
from cakravia_verify.checks.diagnosis.diagnose import diagnose
from cakravia_verify.checks.diagnosis.evidence import MonitorEvidence, collect
from cakravia_verify.health.probe import HttpProber
from cakravia_verify.proxy.protocol import ConfigurationState
from cakravia_verify.settings.contract import ContractSettings
from cakravia_verify.slots import Colour
from tests.health.unread import Unread
from tests.memory_stage import Stage

GOOD = {"status": "healthy"}


def causes_of(stage: Stage, monitor: MonitorEvidence | None = None) -> tuple[Cause, ...]:
    return diagnose(stage.site, collect(stage.site, monitor=monitor or MonitorEvidence()))


def failed_release(stage: Stage, log: str) -> None:
    """Leave a release of v2 that was rolled back, with this log of its slot."""
    stage.memory.sick.add("v2")
    stage.deploy("v2")
    stage.memory.slot_logs[Colour.GREEN] = log


def test_a_sound_site_has_no_cause(site_with_v1: Stage) -> None:
    assert causes_of(site_with_v1) == ()


def test_an_empty_site_has_no_cause(stage: Stage) -> None:
    assert causes_of(stage) == ()


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("Error: listen EADDRINUSE: address already in use 0.0.0.0:3000", "port is taken"),
        ("FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory", "more memory"),
        ("OSError: [Errno 28] No space left on device: '/data/x'", "the disk is full"),
        ("OSError: [Errno 30] Read-only file system: '/app/cache'", "writes where it may not"),
        ('FATAL:  password authentication failed for user "shop"', "refuses its password"),
        ("Error: connect ECONNREFUSED 10.0.0.5:5432", "cannot be reached"),
        ("Error: Cannot find module 'express'", "a package of the application is missing"),
        ("KeyError: 'DATABASE_URL'", "a variable of the application is missing"),
        ("PermissionError: [Errno 13] Permission denied: '/srv/uploads'", "lacks a permission"),
        ('psycopg.errors.UndefinedTable: relation "orders" does not exist', "another shape"),
        ("SyntaxError: invalid syntax", "the version cannot be run"),
    ],
)
def test_the_log_of_a_failed_version_names_the_cause(site_with_v1: Stage, line: str, what: str) -> None:
    failed_release(site_with_v1, f"starting\n{line}\nbye")
    first = causes_of(site_with_v1)[0]
    assert (first.chapter, what in first.what) == (Chapter.DEPLOYMENT, True), first
    assert first.evidence == (" ".join(line.split()),)


@dataclass(frozen=True)
class Replies:
    """The site's prober asks an application that answers like this."""

    status: int
    headers: dict[str, str]
    body: bytes = b"{}"

    def __call__(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(self.status, headers=self.headers, content=self.body)


def hang(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("slow")


@pytest.mark.parametrize(
    ("answer", "what", "remedy"),
    [
        (Replies(404, {}), "has no endpoint", "[contract] health"),
        (Replies(401, {}), "wants a login", "[contract] headers"),
        (Replies(301, {"Location": "https://shop/health"}), "redirects", "[site] scheme"),
        (Replies(400, {}), "Host header", "[site] host"),
        (Replies(503, {}, json.dumps({"status": "fail"}).encode()), "says that it is ill", "failing check"),
        (hang, "no answer in time", "[health] timeout"),
    ],
    ids=["404", "401", "301", "400", "503", "hangs"],
)
def test_the_probe_of_a_slot_names_the_cause(
    site_with_v1: Stage, answer: Callable[[httpx.Request], httpx.Response], what: str, remedy: str
) -> None:
    transport = Unread(answer)
    site_with_v1.site.prober = HttpProber(ContractSettings(), timeout=1, transport=transport)
    of_slot = [each for each in causes_of(site_with_v1) if each.chapter is Chapter.DEPLOYMENT]
    assert what in of_slot[0].what
    assert remedy in of_slot[0].remedy


def test_a_configuration_that_nginx_refuses_comes_first(site_with_v1: Stage) -> None:
    site_with_v1.memory.configuration = ConfigurationState("a", "b", "a", refusal='unknown directive "servre"')
    first = causes_of(site_with_v1)[0]
    assert (first.what, first.evidence) == ("nginx refuses its configuration", ('unknown directive "servre"',))


def test_a_hand_edited_configuration_is_shown_line_by_line(site_with_v1: Stage) -> None:
    site_with_v1.memory.configuration = ConfigurationState("a\nb", "a\nhand", "a\nb")
    (cause,) = causes_of(site_with_v1)
    assert (cause.chapter, cause.evidence) == (Chapter.SWITCHING, ("-b", "+hand"))


def test_changed_settings_that_wait_for_a_reload_are_named(site_with_v1: Stage) -> None:
    site_with_v1.memory.configuration = ConfigurationState("new", "old", "old")
    (cause,) = causes_of(site_with_v1)
    assert ("settings changed" in cause.what, cause.remedy) == (True, "cakravia recover loads them")
    assert cause.is_hint


def test_a_proxy_that_does_not_run_is_the_cause(site_with_v1: Stage) -> None:
    site_with_v1.memory.proxy_runs = False
    first = causes_of(site_with_v1)[0]
    assert (first.what, first.remedy, first.is_hint) == ("the proxy does not run", "cakravia up", False)


def test_a_proxy_that_asks_the_wrong_slot_is_drift(site_with_v1: Stage) -> None:
    site_with_v1.deploy("v2")
    site_with_v1.memory.stuck_on = Colour.BLUE
    assert any(each.remedy == "cakravia recover" for each in causes_of(site_with_v1))


def test_a_rollback_without_the_version_before_is_named(site_with_v1: Stage) -> None:
    site_with_v1.deploy("v2")
    del site_with_v1.memory.artifacts["v1"]
    (cause,) = causes_of(site_with_v1)
    assert (cause.chapter, "version v1" in cause.what) == (Chapter.ROLLBACK, True)


def test_a_rollback_while_a_release_holds_the_site_is_named(site_with_v1: Stage) -> None:
    site_with_v1.site.lock.acquire("release v9")
    (cause,) = causes_of(site_with_v1)
    assert (cause.chapter, "the site is free" in cause.what) == (Chapter.ROLLBACK, True)
    site_with_v1.site.lock.release()


@pytest.mark.parametrize(
    ("monitor", "what"),
    [
        (MonitorEvidence(is_installed=True, log="sqlite3.OperationalError: disk I/O error"), "does not run"),
        (MonitorEvidence(is_running=True, has_channels=True), "has written nothing"),
        (MonitorEvidence(is_running=True, is_fresh=True), "no channel"),
        (
            MonitorEvidence(
                is_running=True,
                is_fresh=True,
                has_channels=True,
                state={"sources": [{"name": "host", "is_silent": True}]},
            ),
            "no readings of host",
        ),
        (
            MonitorEvidence(is_running=True, is_fresh=True, has_channels=True, state={"trouble": "disk full"}),
            "cannot store",
        ),
    ],
    ids=["stopped", "stale", "silent channel", "silent source", "cannot store"],
)
def test_a_monitor_with_issues_is_named(site_with_v1: Stage, monitor: MonitorEvidence, what: str) -> None:
    (cause,) = causes_of(site_with_v1, monitor)
    assert (cause.chapter, what in cause.what) == (Chapter.MONITORING, True)


def test_a_monitor_that_works_is_no_cause(site_with_v1: Stage) -> None:
    monitor = MonitorEvidence(is_installed=True, is_running=True, is_fresh=True, has_channels=True)
    assert causes_of(site_with_v1, monitor) == ()


def test_the_evidence_is_collected_for_a_report_of_a_defect(site_with_v1: Stage) -> None:
    failed_release(site_with_v1, "one\ntwo\nError: Cannot find module 'x'")
    told = json.loads(json.dumps(collect(site_with_v1.site, monitor=MonitorEvidence(log="slow")).as_json()))
    assert told["logs"]["green"][-1] == "Error: Cannot find module 'x'"
    assert (told["logs"]["monitor"], told["served"], told["lock"]) == (["slow"], "blue", None)
    assert [each["outcome"] for each in told["releases"]] == ["promoted", "rolled back"]
    assert len(told["readings"]["blue"]) == 4


def test_causes_come_in_the_order_of_their_likelihood(site_with_v1: Stage) -> None:
    failed_release(site_with_v1, "Error: Cannot find module 'x'")
    site_with_v1.memory.configuration = ConfigurationState("a", "b", "a", refusal="no")
    likelihoods = [each.likelihood for each in causes_of(site_with_v1, replace(MonitorEvidence(is_installed=True)))]
    assert likelihoods == sorted(likelihoods, reverse=True)
    assert len(likelihoods) >= 3
