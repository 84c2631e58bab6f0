"""What users saw of a fault is held against what was expected."""

from __future__ import annotations

import pytest

from cakravia_verify.faults.catalogue import fault_named
from cakravia_verify.faults.expectations import ReleaseOutcome, RequestKind
from cakravia_verify.faults.model import Moment
from cakravia_verify.runs.failover_cell import CellResult, FailoverCell, FaultInstants, weigh
from cakravia_verify.runs.failover_trials import sentence, table
from cakravia_verify.system.clock import to_microseconds
from cakravia_verify.traffic.records.rows import Outcome, Row

AT = FaultInstants(injected=100.0, healed=103.0, mended=104.0)


def row(seconds: float, outcome: Outcome = Outcome.LOST, *, method: str = "GET", name: str = "page") -> Row:
    """A request that began so many seconds after the fault."""
    instant = to_microseconds(100.0 + seconds)
    return Row(
        id="run-1",
        connection=1,
        reused=True,
        method=method,
        name=name,
        planned=instant,
        started=instant,
        connected=None,
        sent=None,
        first_byte=None,
        done=None,
        status=0,
        bytes=0,
        slot="",
        version="",
        served_slot="",
        outcome=outcome,
        detail="",
        strict=True,
    )


def seen(
    fault: str,
    *rows: Row,
    moment: Moment = Moment.STEADY,
    duplicated: int | None = 0,
    end: ReleaseOutcome | None = None,
) -> CellResult:
    cell = FailoverCell(fault_named(fault), moment)
    all_rows = [row(-1.0, Outcome.ANSWERED), *rows]
    return weigh(cell, all_rows, instants=AT, streams=["events"], duplicated=duplicated, release_end=end)


def test_requests_in_flight_on_a_killed_slot_may_be_lost() -> None:
    result = seen("slot-killed", row(-0.01), row(0.2, Outcome.ERROR), row(0.1, method="POST"))
    assert result.problems == ()
    assert (result.lost[RequestKind.READS], result.lost[RequestKind.WRITES]) == (2, 1)
    assert result.back == pytest.approx(0.2)


def test_a_request_lost_250_ms_after_a_kill_is_named() -> None:
    (problem,) = seen("slot-killed", row(0.3)).problems
    assert "1 lost requests began later than 0.25 s after the fault" in problem


def test_a_request_that_could_not_be_sent_is_lost_too() -> None:
    assert seen("slot-killed", row(0.3, Outcome.UNREACHED)).problems


def test_no_request_may_be_lost_when_the_standby_dies() -> None:
    (first, *_) = seen("standby-killed", row(-0.01)).problems
    assert first == "1 of 2 reads were lost; none may be"


def test_a_dead_proxy_costs_requests_until_it_is_mended() -> None:
    assert seen("nginx-killed", row(4.9)).problems == ()
    assert seen("nginx-killed", row(5.1)).problems


@pytest.mark.parametrize("fault", ["slot-killed", "nginx-killed", "slot-stopped"])
def test_a_request_that_was_executed_twice_is_never_as_expected(fault: str) -> None:
    assert seen(fault, duplicated=1).problems == ("1 writes were executed twice",)


def test_without_a_log_of_the_application_twice_is_not_known() -> None:
    result = seen("slot-killed", duplicated=None)
    assert result.problems == ()
    assert " ? " in [*table([result])][1]


def test_nothing_sent_proves_nothing() -> None:
    cell = FailoverCell(fault_named("slot-killed"), Moment.STEADY)
    result = weigh(cell, [], instants=AT, streams=(), duplicated=0, release_end=None)
    assert result.problems == ("no request was sent, so nothing was measured",)


def test_a_stream_is_counted_apart() -> None:
    assert seen("slot-killed", row(0.0, name="events")).lost[RequestKind.STREAMS] == 1


def test_the_sentence_names_what_was_lost_and_how_long() -> None:
    result = seen("slot-killed", row(0.2))
    assert sentence(result) == (
        "the active slot is killed (kill -9): 1 of 2 requests were lost (1 reads), the last one began after 0.20 s."
    )
