"""What each kind of traffic may rely on at switch, drain, rollback and failover: docs/TRAFFIC.md, held."""

from __future__ import annotations

import pytest

from cakravia_verify.slots import Colour
from cakravia_verify.system.clock import Microseconds
from tests.traffic.zoo.conftest import DRAIN_BACK, Course
from tests.traffic.zoo.ground import BYSTANDERS, SHORT, STREAMS


@pytest.mark.parametrize("name", SHORT + STREAMS)
def test_nothing_of_this_kind_is_lost_at_switch_drain_and_rollback(course: Course, name: str) -> None:
    rows = course.ledger.query(
        "SELECT id, outcome, status, detail, by_slot, reused FROM ledger WHERE name = $name AND outcome <> 'answered'",
        {"name": name},
    )
    assert rows == []
    slots = course.ledger.query("SELECT DISTINCT by_slot FROM ledger WHERE name = $name ORDER BY 1", {"name": name})
    assert [slot for (slot,) in slots] == ["blue", "green"]


def test_no_request_ran_twice_or_was_masked(course: Course) -> None:
    (counts,) = course.ledger.query(
        "SELECT count(*) FILTER (WHERE duplicated), count(*) FILTER (WHERE masked) FROM ledger"
    )
    assert counts == (0, 0)


def test_client_proxy_and_application_tell_one_story(course: Course) -> None:
    assert [str(finding) for finding in course.ledger.evidence.findings] == []


@pytest.mark.parametrize(("switch", "old"), [("switch", "blue"), ("rollback", "green")])
def test_nothing_sent_after_a_switch_is_answered_by_the_old_slot(course: Course, switch: str, old: str) -> None:
    effective_at = Microseconds(course.ground.instants[switch] + 1_000)
    until = Microseconds(course.ground.instants["rollback"]) if switch == "switch" else None
    assert course.ledger.fence_violations(effective_at, old, until=until).violations.total == 0


def test_slow_answers_begun_before_the_switch_are_finished_by_the_old_slot(course: Course) -> None:
    ((number,),) = course.ledger.query(
        "SELECT count(*) FROM ledger WHERE name = 'slow' AND by_slot = 'blue' AND outcome = 'answered' "
        "AND sent < $at AND done > $at",
        {"at": course.ground.instants["switch"]},
    )
    assert number > 0


@pytest.mark.parametrize(("switch", "drain", "old"), [("switch", "drain", "blue"), ("rollback", DRAIN_BACK, "green")])
@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_goes_on_in_its_slot_across_a_switch(
    course: Course, name: str, switch: str, drain: str, old: str
) -> None:
    instants = course.ground.instants
    held = course.ledger.query(
        "SELECT DISTINCT by_slot, outcome FROM ledger WHERE name = $name AND first_byte < $at AND done > $until",
        {"name": name, "at": instants[switch], "until": min(instants[switch] + 200_000, instants[drain])},
    )
    assert held == [(old, "answered")]


@pytest.mark.parametrize(("drain", "next_slot"), [("drain", "green"), (DRAIN_BACK, "blue")])
@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_ends_properly_with_its_slot_and_goes_on_in_the_other(
    course: Course, name: str, drain: str, next_slot: str
) -> None:
    rows = course.ledger.query(
        "SELECT first.detail, again.by_slot, again.outcome FROM ledger first JOIN ledger again "
        "ON split_part(again.id, '~', 1) = split_part(first.id, '~', 1) AND again.started > first.done "
        "AND again.started < first.done + 500000 "
        "WHERE first.name = $name AND first.by_slot <> $next AND first.detail <> '' "
        "AND first.done BETWEEN $at AND $at + 3000000",
        {"name": name, "next": next_slot, "at": course.ground.instants[drain]},
    )
    assert rows != []
    assert {(slot, outcome) for _, slot, outcome in rows} == {(next_slot, "answered")}
    assert all("by the server" in detail for detail, _, _ in rows)


@pytest.mark.parametrize("colour", list(Colour))
def test_the_drained_slot_cut_nothing(course: Course, colour: Colour) -> None:
    assert course.drains[colour] == 0


@pytest.mark.parametrize("kind", BYSTANDERS)
def test_beside_it_no_request_fails(course: Course, kind: str) -> None:
    bystander = course.bystanders[kind]
    assert bystander.trouble == []
    assert [sight for sight in bystander.sights if sight.problem] == []
    assert {sight.slot for sight in bystander.sights} == {"blue", "green"}


def test_an_http2_connection_outlives_every_switch(course: Course) -> None:
    assert len(course.bystanders["HTTP/2"].connections) == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", SHORT)
def test_what_begins_after_the_active_slot_died_is_answered_by_the_other(failover: Course, name: str) -> None:
    rows = failover.ledger.query(
        "SELECT id, outcome, detail FROM ledger WHERE name = $name AND started > $at + 50000 "
        "AND (outcome <> 'answered' OR by_slot <> 'green')",
        {"name": name, "at": failover.ground.instants["death"]},
    )
    assert rows == []


def test_only_what_a_dead_slot_had_in_its_hands_is_lost_at_a_failover(failover: Course) -> None:
    instants = failover.ground.instants
    rows = failover.ledger.query(
        "SELECT name, id, detail FROM ledger WHERE outcome <> 'answered' "
        "AND NOT (started < $death + 50000 AND coalesce(done, started) > $kill)",
        {"kill": instants["failover"], "death": instants["death"]},
    )
    assert rows == []


def test_no_order_runs_twice_at_a_failover(failover: Course) -> None:
    rows = failover.ledger.query("SELECT id FROM ledger WHERE duplicated AND method = 'POST'")
    assert rows == []


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_of_a_dead_slot_is_cut_and_new_ones_reach_the_other(failover: Course, name: str) -> None:
    at, death = failover.ground.instants["failover"], failover.ground.instants["death"]
    (counts,) = failover.ledger.query(
        "SELECT count(*) FILTER (WHERE outcome = 'lost' AND started < $at AND by_slot = 'blue'), "
        "count(*) FILTER (WHERE outcome = 'answered' AND started > $death AND by_slot = 'green'), "
        "count(*) FILTER (WHERE outcome <> 'answered' AND started > $death + 50000) FROM ledger WHERE name = $name",
        {"name": name, "at": at, "death": death},
    )
    lost, reached, later = counts
    assert lost > 0
    assert reached > 0
    assert later == 0


@pytest.mark.parametrize("kind", BYSTANDERS)
def test_beside_it_what_begins_after_the_active_slot_died_is_answered_by_the_other(failover: Course, kind: str) -> None:
    bystander, instants = failover.bystanders[kind], failover.ground.instants
    assert bystander.trouble == []
    assert {sight.slot for sight in bystander.sights if sight.at < instants["failover"] - 500_000} == {"blue"}
    later = [sight for sight in bystander.sights if sight.at > instants["death"] + 50_000]
    assert {(sight.slot, sight.problem) for sight in later} == {("green", "")}


def test_an_http2_connection_outlives_the_slot_that_it_was_answered_by(failover: Course) -> None:
    assert len(failover.bystanders["HTTP/2"].connections) == 1  # type: ignore[attr-defined]
