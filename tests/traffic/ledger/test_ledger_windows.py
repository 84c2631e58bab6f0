"""What the ledger says about a switch: the fence, the windows around it, the gaps in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cakravia_verify.analysis.windows import (
    crossover,
    latency,
    longest_gap,
    longest_gaps_by_connection,
    window,
)
from cakravia_verify.proxy.protocol import Switchover
from cakravia_verify.slots import Colour
from cakravia_verify.system.clock import Microseconds
from cakravia_verify.traffic.ledger.ledger import Ledger
from tests.traffic.ledger.ledger_files import Run, handled, passed, request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GREEN = {"slot": "green", "served_slot": "green", "version": "v2"}
LOST: dict[str, Any] = {"outcome": "lost", "done": None, "status": None, "slot": None, "served_slot": None}
FENCE = Microseconds(10_000)
SWITCH = Switchover(Colour.GREEN, Microseconds(9_900), FENCE)


def built_with_proxy(folder: Path, row: dict[str, Any], line: dict[str, Any]) -> Ledger:
    return Run(folder, [row], [line], None).build()


def built(folder: Path, rows: list[dict[str, Any]], application: list[tuple[Any, ...]] | None = None) -> Ledger:
    return Run(folder, rows, None, application).build()


def switched_at(fence: Microseconds) -> list[dict[str, Any]]:
    """Twenty requests, one a millisecond: blue until the fence, then green."""
    return [request(n, **(GREEN if Microseconds(n * 1000) >= fence else {})) for n in range(20)]


@pytest.fixture
def clean(tmp_path: Path) -> Iterator[Ledger]:
    with built(tmp_path, switched_at(FENCE)) as ledger:
        yield ledger


def test_a_clean_switch_has_no_fence_violation(clean: Ledger) -> None:
    report = clean.fence_violations(FENCE, "blue")
    assert (report.violations.total, report.straddling.total) == (0, 0)


def test_the_fence_sees_old_answers_when_it_is_put_too_early(clean: Ledger) -> None:
    report = clean.fence_violations(Microseconds(5_000), "blue")
    assert [row["id"] for row in report.violations.first] == [f"r1-{n}" for n in range(5, 10)]


@pytest.mark.parametrize("witness", [{"slot": "blue"}, {"served_slot": "blue"}])
def test_either_header_convicts_the_old_slot(tmp_path: Path, witness: dict[str, str]) -> None:
    with built(tmp_path, [request(20, **{**GREEN, **witness})]) as ledger:
        assert ledger.fence_violations(FENCE, "blue").violations.total == 1


def test_the_old_slots_own_log_convicts_it_even_where_the_request_was_lost(tmp_path: Path) -> None:
    with built(tmp_path, [request(20, **LOST)], [handled(20)]) as ledger:
        assert ledger.fence_violations(FENCE, "blue").violations.total == 1


def test_an_upload_under_way_at_the_fence_straddles_it(tmp_path: Path) -> None:
    upload = request(5, method="POST", sent=15_000, done=16_000)
    with built(tmp_path, [upload]) as ledger:
        report = ledger.fence_violations(FENCE, "blue")
    assert (report.violations.total, report.straddling.total) == (0, 1)


def test_an_upload_begun_after_the_fence_violates_it(tmp_path: Path) -> None:
    on_new_connection = request(5, method="POST", connected=FENCE + Microseconds(1), sent=15_000, done=16_000)
    with built(tmp_path, [on_new_connection]) as ledger:
        assert ledger.fence_violations(FENCE, "blue").violations.total == 1


def test_a_fence_ends_at_the_next_switch(clean: Ledger) -> None:
    assert clean.fence_violations(Microseconds(5_000), "blue", until=Microseconds(7_000)).violations.total == 2


def test_windows_count_requests_where_they_were_planned(clean: Ledger) -> None:
    during = window(clean, "during", start=Microseconds(10_000), end=Microseconds(13_000))
    assert (during.label, during.counts.answered, during.rate) == ("during", 3, 1000.0)
    assert during.quantile(0.5) == Microseconds(600)


def test_how_long_a_stream_was_held_is_no_latency_of_its_window(tmp_path: Path) -> None:
    rows = [request(n, **({"name": "events", "done": 10_000_000} if n % 4 == 0 else {})) for n in range(20)]
    with built(tmp_path, rows) as ledger:
        held = window(ledger, "all", start=Microseconds(0), end=Microseconds(20_000), without=("events",))
        (gap,) = longest_gaps_by_connection(ledger, rate_planned=1000, first=1, without=("events",))
    assert (held.counts.answered, held.latency.count, held.quantile(0.99)) == (20, 15, Microseconds(600))
    assert gap.duration < Microseconds(10_000)


def test_latency_is_told_from_the_planned_instant_or_from_the_sent_one(clean: Ledger) -> None:
    assert latency(clean, start=Microseconds(0), end=Microseconds(20_000)).pairs == ((600, 20),)
    assert latency(clean, start=Microseconds(0), end=Microseconds(20_000), clock="sent", slot="green").pairs == (
        (570, 10),
    )


def test_a_clean_crossover_has_a_first_new_answer_and_no_late_old_one(clean: Ledger) -> None:
    seen = crossover(clean, SWITCH)
    assert (seen.first_new, seen.last_old) == (Microseconds(700), None)


def test_a_late_answer_of_the_old_slot_is_told_from_the_decision(tmp_path: Path) -> None:
    with built(tmp_path, [*switched_at(FENCE), request(30)]) as ledger:
        assert crossover(ledger, SWITCH).last_old == Microseconds(30_030 - 9_900)


def test_the_longest_gap_spans_the_failures_in_it(tmp_path: Path) -> None:
    rows = [request(n, **(LOST if 5 <= n < 9 else {})) for n in range(20)]
    with built(tmp_path, rows) as ledger:
        gap = longest_gap(ledger, rate_planned=1000)
    assert gap is not None
    assert (gap.duration, gap.failed, gap.expected) == (Microseconds(5_000), 4, 5.0)


def test_a_run_that_stops_being_answered_has_its_gap_at_the_end(tmp_path: Path) -> None:
    rows = [request(n, **(LOST if n > 5 else {})) for n in range(20)]
    with built(tmp_path, rows) as ledger:
        gap = longest_gap(ledger, rate_planned=1000)
    assert gap is not None
    assert (gap.start, gap.end) == (Microseconds(5_600), Microseconds(19_000))


def test_no_request_is_no_gap(tmp_path: Path) -> None:
    with built(tmp_path, []) as ledger:
        assert longest_gap(ledger, rate_planned=1000) is None
        assert longest_gaps_by_connection(ledger, rate_planned=1000) == ()


def test_each_connection_has_its_own_longest_gap(tmp_path: Path) -> None:
    rows = [request(n, connection=n % 2, **(LOST if n in (7, 9) else {})) for n in range(20)]
    with built(tmp_path, rows) as ledger:
        gaps = longest_gaps_by_connection(ledger, rate_planned=1000)
    assert [(gap.connection, gap.duration, gap.failed) for gap in gaps] == [
        (1, Microseconds(6_000), 2),
        (0, Microseconds(2_000), 0),
    ]
    assert gaps[0].expected == 3.0


@pytest.mark.parametrize(
    ("pinned", "version", "violations"),
    [("v1", "v1", 0), ("v1", "v0", 1), ("v1", None, 0), ("-", "v1", 1), ("", "v1", 1)],
)
def test_the_old_slot_may_answer_a_request_that_named_its_version(
    tmp_path: Path, pinned: str, version: str | None, violations: int
) -> None:
    with built_with_proxy(tmp_path, request(20, version=version), passed(20, pinned=pinned)) as ledger:
        assert ledger.fence_violations(FENCE, "blue").violations.total == violations


def test_a_pinned_slot_without_an_answer_masks_nothing(tmp_path: Path) -> None:
    tried = passed(
        20, pinned="-", upstream="127.0.0.1:3000 : 127.0.0.1:3001", upstream_status="502 : 200", slot="green"
    )
    with built_with_proxy(tmp_path, request(20, **GREEN), tried) as ledger:
        assert ledger.query("SELECT masked, findings FROM ledger") == [(False, None)]
