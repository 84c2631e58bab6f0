"""A migration that harms users is told apart from what the version did before it."""

from __future__ import annotations

from cakravia_verify.analysis.migration_effect import MigrationEffect
from cakravia_verify.system.clock import to_microseconds
from cakravia_verify.traffic.records.rows import Outcome, Row

BEGAN, ENDED = 10.0, 12.0


def row(at: float, *, name: str = "page", outcome: str = "answered", seconds: float = 0.01) -> Row:
    planned, done = to_microseconds(at), to_microseconds(at + seconds)
    return Row(
        id="r-1",
        connection=1,
        reused=True,
        method="GET",
        name=name,
        planned=planned,
        started=planned,
        connected=None,
        sent=planned,
        first_byte=done,
        done=done,
        status=None,
        bytes=0,
        slot="",
        version="",
        served_slot="",
        outcome=Outcome(outcome),
        detail="",
        strict=True,
    )


def effect(*, errors: float = 0.0, lost: int = 0) -> MigrationEffect:
    return MigrationEffect(lost=lost, errors=errors)


def measured(found: MigrationEffect, *, before: list[Row], since: list[Row]) -> MigrationEffect:
    for each in before:
        found.count(each)
    found.begin(int(to_microseconds(BEGAN)))
    for each in since[: len(since) // 2]:
        found.count(each)
    found.end(int(to_microseconds(ENDED)))
    for each in since[len(since) // 2 :]:
        found.count(each)
    return found


def steady(start: float, count: int, **named: object) -> list[Row]:
    return [row(start + 0.005 * number, **named) for number in range(count)]  # type: ignore[arg-type]


def test_users_who_see_no_difference_are_not_harmed() -> None:
    found = measured(effect(), before=steady(5, 900), since=steady(BEGAN, 900))
    assert found.lasting_harm() == ""


def test_errors_of_one_rare_request_after_a_dropped_column_are_harm() -> None:
    since = [*steady(BEGAN, 600), row(12.5, name="orders", outcome="error")]
    found = measured(effect(), before=[*steady(5, 600), row(6, name="orders")], since=since)
    assert found.harm().startswith("1 error answers, none before: 'orders'")


def test_a_lost_request_is_harm_at_once() -> None:
    found = measured(effect(), before=steady(5, 300), since=[row(10.1, outcome="lost"), row(10.2)])
    assert "1 requests lost, none before" in found.harm()


def test_errors_that_the_version_makes_anyway_are_no_harm() -> None:
    before = [*steady(5, 300), *steady(6, 30, name="broken", outcome="error")]
    since = [*steady(BEGAN, 300), *steady(11, 30, name="broken", outcome="error")]
    assert measured(effect(), before=before, since=since).lasting_harm() == ""


def test_more_errors_than_the_version_makes_anyway_are_harm() -> None:
    before = [*steady(5, 300), *steady(6, 5, outcome="error")]
    since = [*steady(BEGAN, 300), *steady(12, 60, outcome="error")]
    assert "60 of 360 requests 'page' failed, 5 of 305 before" in measured(effect(), before=before, since=since).harm()


def test_the_budget_permits_errors_while_a_migration_runs() -> None:
    since = [*steady(BEGAN, 600), row(12.5, outcome="error")]
    assert measured(effect(errors=0.01), before=steady(5, 600), since=since).harm() == ""


def test_answers_that_wait_for_a_long_lock_are_harm() -> None:
    waiting = [row(10 + 0.01 * number, seconds=3 - 0.01 * number) for number in range(150)]
    found = measured(effect(), before=steady(5, 600), since=[*waiting, *steady(13.1, 400)])
    assert "answers took too long" in found.harm()


def test_a_machine_that_stops_for_a_second_is_no_harm() -> None:
    stalled = [row(10 + 0.01 * number, seconds=1 - 0.01 * number) for number in range(99)]
    found = measured(effect(), before=steady(5, 600), since=[*stalled, *steady(12.1, 700)])
    assert found.harm() == ""


def test_answers_that_stay_many_times_slower_are_harm() -> None:
    found = measured(effect(), before=steady(5, 900), since=steady(BEGAN, 1_800, seconds=0.08))
    assert found.harm() == ""
    assert "slower beyond the limit" in found.lasting_harm()


def test_a_request_in_flight_when_the_migration_begins_counts_against_it() -> None:
    found = measured(effect(), before=steady(5, 300), since=[row(9.99, outcome="lost", seconds=2.0)])
    assert "1 requests lost" in found.harm()


def test_streams_have_no_latency() -> None:
    found = MigrationEffect(lost=0, errors=0.0, streams=("events",))
    measured(found, before=steady(5, 300), since=[row(10, name="events", seconds=60.0)] * 50)
    assert found.harm() == ""
    assert found.during.slow.total() == 0
