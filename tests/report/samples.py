"""Three releases as they really look: one promoted, one rolled back after the switch, one that nobody could judge."""

from __future__ import annotations

import math
import random
from dataclasses import replace

from cakravia_verify.analysis.model import Bucket, ReportWindow
from cakravia_verify.gate.model import Budget, Evidence, Exit, Measured
from cakravia_verify.gate.rules import judge
from cakravia_verify.report.document import Event, ReleaseDocument

NEW_DIGEST = "sha256:9b0f4c1d77e2a8f05b6c3f1a2e4d5c6b7a8990112233445566778899aabbccdd"
OLD_DIGEST = "sha256:41c2d0e9b8a7f6e5d4c3b2a190807060504030201f0e0d0c0b0a090807060504"
SWITCH, BACK = 5.62, 9.41

_SUITE = (
    "suites/deploy/test_deploy.py::test_candidate_is_staged_in_the_idle_slot",
    "suites/deploy/test_deploy.py::test_users_stay_on_the_active_slot_while_the_candidate_warms_up",
    "suites/deploy/test_deploy.py::test_switchover_brings_users_to_the_candidate",
    "suites/deploy/test_deploy.py::test_no_request_was_lost",
    "suites/deploy/test_deploy.py::test_candidate_keeps_within_budget_through_the_bake",
)


def promoted() -> ReleaseDocument:
    """Everything went well: 30,124 requests, none lost."""
    measured = Measured(
        sent=30_124,
        answered=30_124,
        lost=0,
        errors=0,
        unreached=0,
        duplicated=0,
        masked=0,
        content_compared=4,
        fence_violations=0,
        candidate_answers=24_506,
        answers_each={"page": 22_000, "order": 2_506},
        share_held=0.99961,
        p50=0.02211,
        p99=0.02874,
        longest_gap=0.0113,
        lost_bound="0 of 30,124, < 0.010% at 95%",
        integrity=(),
        idle_closes=3,
        sent_after_switch=24_490,
        errors_after_switch=0,
        open_pages=3,
        broken_pages=0,
        old_sessions=12,
        old_sessions_failed=0,
        new_sessions=180,
        new_sessions_failed=0,
    )
    evidence = _evidence(measured, required=dict.fromkeys(_SUITE, "passed"))
    return _document(
        evidence,
        outcome="promoted",
        exit_status=Exit.PROMOTED,
        next_step="Nothing. v1.1.0 stays warm in blue; `cakravia rollback` brings users back to it in milliseconds.",
        timeline=_timeline(
            [
                ("build", 0.02, 1.31, "done", "sha256:9b0f4c1d77e2"),
                ("prepare", 1.34, 0.04, "done", ""),
                ("stage", 1.38, 1.86, "done", "green (v1.2.0) started"),
                ("prove", 3.25, 2.02, "done", "3 good rounds of all four endpoints"),
                ("smoke", 5.28, 0.33, "done", "12 of 12 answered"),
                ("switch", 5.6195, 0.0005, "done", "users to green in 0.3 ms"),
                ("confirm", 5.63, 0.12, "done", "5 answers in a row name green (v1.2.0)"),
                ("drain", 5.76, 0.55, "done", "nothing in flight on the old slot"),
                ("bake", 6.32, 23.1, "done", "47 health rounds"),
                ("promote", 29.44, 0.06, "done", "blue (v1.1.0) kept warm"),
                ("cleanup", 29.51, 0.03, "done", "1 old versions removed"),
            ]
        ),
        buckets=_buckets(30.0, per_second=1004),
        seconds=30.31,
        windows=(
            ReportWindow("before the switch", 5642, 0, 0, 0.0220, 0.0281, 0.0088),
            ReportWindow("during the switch", 1003, 0, 0, 0.0222, 0.0302, 0.0113),
            ReportWindow("after the switch", 23_479, 0, 0, 0.0221, 0.0287, 0.0097),
        ),
    )


def rolled_back() -> ReleaseDocument:
    """The candidate passed every check before the switch, then answered errors and lost requests."""
    measured = Measured(
        sent=11_842,
        answered=11_614,
        lost=23,
        errors=205,
        unreached=0,
        duplicated=0,
        masked=0,
        content_compared=4,
        fence_violations=0,
        candidate_answers=3_571,
        answers_each={"page": 3_200, "order": 371},
        share_held=0.9983,
        p50=0.0223,
        p99=0.4127,
        longest_gap=0.184,
        lost_bound="23 of 11,842, < 0.28% at 95%",
        integrity=(),
        idle_closes=1,
        sent_after_switch=3_806,
        errors_after_switch=205,
    )
    required = dict.fromkeys(_SUITE[:3], "passed") | {_SUITE[3]: "failed", _SUITE[4]: "deselected"}
    evidence = replace(
        _evidence(measured, required=required),
        serving="blue",
        serving_slot="blue",
        serving_version="v1.1.0",
        serving_digest=OLD_DIGEST,
        failure="green (v1.2.0) became unhealthy under traffic: ready: 503 in 12 ms",
        bake_seconds=2.84,
        bake_rounds=6,
        bake_bad_rounds=2,
    )
    return _document(
        evidence,
        outcome="rolled back",
        exit_status=Exit.ROLLED_BACK,
        next_step="Users are served by v1.1.0 and need nothing. Read `cakravia logs green`, mend v1.2.0, try again.",
        timeline=_timeline(
            [
                ("build", 0.02, 1.31, "done", "sha256:9b0f4c1d77e2"),
                ("prepare", 1.34, 0.04, "done", ""),
                ("stage", 1.38, 1.86, "done", "green (v1.2.0) started"),
                ("prove", 3.25, 2.02, "done", "3 good rounds of all four endpoints"),
                ("smoke", 5.28, 0.33, "done", "12 of 12 answered"),
                ("switch", 5.6195, 0.0005, "done", "users to green in 0.3 ms"),
                ("confirm", 5.63, 0.12, "done", "5 answers in a row name green (v1.2.0)"),
                ("drain", 5.76, 0.55, "done", "nothing in flight on the old slot"),
                ("bake", 6.32, 2.84, "failed", "green (v1.2.0) became unhealthy under traffic: ready: 503 in 12 ms"),
                ("switch", 9.40, 0.71, "undone", "users back on blue (v1.1.0)"),
                ("stage", 10.12, 0.42, "undone", "green stopped"),
                ("prepare", 10.55, 0.02, "undone", ""),
            ]
        ),
        buckets=_buckets(11.7, per_second=1004, bad_from=7.3, back=BACK),
        seconds=11.94,
        returned_at=BACK,
        windows=(
            ReportWindow("before the switch", 5642, 0, 0, 0.0220, 0.0281, 0.0088),
            ReportWindow("during the switch", 1003, 0, 0, 0.0222, 0.0302, 0.0113),
            ReportWindow("after the switch", 2803, 23, 205, 0.0231, 0.4127, 0.184),
            ReportWindow("after the way back", 2394, 0, 0, 0.0220, 0.0283, 0.0091),
        ),
        lost_rows=tuple(_lost_row(number) for number in range(20)),
        findings=(
            "23 x lost: 14 POST /api/orders, 9 GET /; all of them sent to green (v1.2.0) after 7.3 s",
            "2 x missing_at_application: the proxy had an answer from an upstream that never logged the request",
        ),
        drift=("the state file names green as active, responses through the proxy came from blue",),
    )


def inconclusive() -> ReleaseDocument:
    """The load was asked to be small and was not even sent: nothing proves anything."""
    measured = Measured(sent=96, answered=96, lost=0, errors=0, share_held=0.412, p50=0.0219, p99=0.0270)
    measured = replace(measured, lost_bound="0 of 96, < 3.1% at 95%", candidate_answers=61, fence_violations=0)
    measured = replace(measured, integrity=("no traffic summary: the load process ended by itself (status -9)",))
    required = dict.fromkeys(_SUITE[:4], "passed") | {_SUITE[4]: "skipped"}
    evidence = _evidence(measured, required=required)
    return _document(
        evidence,
        outcome="rolled back",
        exit_status=Exit.INCONCLUSIVE,
        next_step="",
        timeline=_timeline(
            [
                ("stage", 1.38, 1.86, "done", "green (v1.2.0) started"),
                ("prove", 3.25, 2.02, "done", "3 good rounds of all four endpoints"),
                ("switch", 5.6195, 0.0005, "done", "users to green in 0.3 ms"),
                ("bake", 6.32, 3.0, "done", "6 health rounds"),
                ("switch", BACK, 0.31, "undone", "users back on blue (v1.1.0)"),
            ]
        ),
        buckets=_buckets(3.1, per_second=31),
        seconds=10.02,
    )


def unproven() -> ReleaseDocument:
    """A rollback whose traffic died: its target is healthy and keeps the users."""
    return replace(
        inconclusive(),
        kind="rollback",
        version="v1.1.0",
        previous_version="v1.2.0",
        outcome="unproven",
        exit_status=Exit.UNPROVEN,
        timeline=inconclusive().timeline[:-1],
        returned_at=None,
    )


def needs_a_person() -> ReleaseDocument:
    """The way back failed: the old slot no longer starts."""
    return replace(
        rolled_back(),
        outcome="needs a person",
        exit_status=Exit.NEEDS_A_PERSON,
        next_step="",
        timeline=(
            *rolled_back().timeline[:-6],
            Event("switch", "undo failed", 9.9, 0.0, "blue no longer runs, and v1.1.0 is not retained"),
        ),
    )


def empty() -> ReleaseDocument:
    """A session that died before it did or saw anything."""
    return ReleaseDocument(
        release="r-1",
        kind="deploy",
        version="v1",
        digest="",
        slot="",
        previous_version="",
        site="shop",
        platform="process",
        who="",
        host="",
        reason="",
        started_at="2026-05-04T02:11:09Z",
        finished_at="2026-05-04T02:11:09Z",
        seconds=0.0,
        outcome="",
        exit_status=Exit.INCONCLUSIVE,
        next_step="",
        verdict=judge(Evidence(), Budget()),
        evidence=Evidence(),
        budget=Budget(),
    )


def _evidence(measured: Measured, *, required: dict[str, str]) -> Evidence:
    return Evidence(
        release="20260504T021109Z-v1.2.0",
        version="v1.2.0",
        candidate="green",
        candidate_slot="green",
        built_digest=NEW_DIGEST,
        running_digest=NEW_DIGEST,
        has_previous=True,
        health_rounds=3,
        health_rounds_needed=3,
        bake_rounds=47,
        bake_seconds=23.1,
        bake_seconds_planned=20.0,
        smoke_passed=12,
        smoke_planned=12,
        confirmations=5,
        confirmations_needed=5,
        serving="green",
        serving_slot="green",
        serving_version="v1.2.0",
        serving_digest=NEW_DIGEST,
        required=required,
        measured=measured,
    )


def _document(evidence: Evidence, **facts: object) -> ReleaseDocument:
    budget = Budget()
    return ReleaseDocument(
        release=evidence.release,
        kind="deploy",
        version="v1.2.0",
        digest=NEW_DIGEST,
        slot="green",
        previous_version="v1.1.0",
        site="shop",
        platform="process",
        who="maria@build-7",
        host="build-7",
        reason="new checkout",
        started_at="2026-05-04T02:11:09.412Z",
        finished_at="2026-05-04T02:11:39.722Z",
        verdict=judge(evidence, budget),
        evidence=evidence,
        budget=budget,
        traffic={
            "planned": 30_136,
            "started": 30_124,
            "rate_planned": 1004.5,
            "rate_achieved": 1004.1,
            "users": 50,
            "round_trip": 0.02,
            "idle_closes": 3,
            "schedule_lag": {"p50": 0.00011, "p99": 0.00187, "max": 0.0093},
            "ended": "asked",
        },
        files={
            "report.html": "5f2c" * 16,
            "junit.xml": "a1b2" * 16,
            "requests.csv": "0c9d" * 16,
            "traffic.json": "7e3a" * 16,
        },
        settings_digest="sha256:" + "3d4e" * 16,
        tool="cakravia-verify 0.1.0",
        switch_seconds=0.00031 if evidence.confirmations else None,
        **facts,  # type: ignore[arg-type]
    )


def _timeline(steps: list[tuple[str, float, float, str, str]]) -> tuple[Event, ...]:
    events = []
    for step, began, seconds, kind, note in steps:
        if kind in ("done", "failed"):
            events.append(Event(step, "begins", began, 0.0, ""))
        events.append(Event(step, kind, round(began + seconds, 4), seconds, note))
    return tuple(events)


def _buckets(
    seconds: float, *, per_second: int, bad_from: float = math.inf, back: float = math.inf
) -> tuple[Bucket, ...]:
    chance = random.Random(7)
    buckets = []
    for number in range(int(seconds * 10)):
        at = number / 10
        count = max(1, round(chance.gauss(per_second / 10, math.sqrt(per_second / 10))))
        bad = bad_from <= at < back
        lost, errors = (chance.choice((0, 0, 1, 2, 4)), chance.randint(4, 15)) if bad else (0, 0)
        new = 0 if at < SWITCH - 0.1 or at >= back else count if at >= SWITCH else count // 5
        p50 = abs(chance.gauss(0.022, 0.0004)) * (1.15 if bad else 1)
        p99 = abs(chance.gauss(0.0281, 0.0012)) * (chance.uniform(6, 15) if bad else 1.25 if new and at < 7 else 1)
        slots = {name: answers for name, answers in (("blue", count - new), ("green", new)) if answers}
        buckets.append(Bucket(at, 0.1, count - lost - errors, lost, errors, p50, p99, slots))
    return tuple(buckets)


def _lost_row(number: int) -> dict[str, object]:
    at = 7_312_000 + number * 97_113
    return {
        "id": f"r7f3-{7400 + number * 83}",
        "connection": 4 + number % 9,
        "reused": 1,
        "method": "POST" if number % 5 else "GET",
        "name": "order" if number % 5 else "page",
        "planned": at,
        "started": at + 96,
        "connected": None,
        "sent": at + 310,
        "first_byte": at + 20_410 if number % 2 else None,
        "done": None,
        "status": 502 if number % 2 else None,
        "bytes": 0,
        "slot": "",
        "version": "",
        "served_slot": "green",
        "outcome": "lost",
        "detail": "502, the gateway's way of saying nobody answered" if number % 2 else "connection reset by peer",
        "strict": 1,
    }
