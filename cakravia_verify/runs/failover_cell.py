"""One cell of the failover table: a fault at a moment, what users lost, and what was expected of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cakravia_verify.faults.expectations import AFTER_HEALING, Expectation, ReleaseOutcome, RequestKind, expectation_of
from cakravia_verify.faults.model import Fault, Moment
from cakravia_verify.system.clock import Microseconds, to_seconds
from cakravia_verify.traffic.records.rows import Outcome, Row

# Safe methods. nginx asks a slot again for one of them if a kept connection breaks (docs/PROXY.md).
READING: Final = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True)
class FailoverCell:
    """A fault at a moment."""

    fault: Fault
    moment: Moment

    @property
    def name(self) -> str:
        return f"{self.fault.name}-{self.moment}"

    @property
    def expectation(self) -> Expectation:
        return expectation_of(self.fault.name, self.moment)


@dataclass(frozen=True)
class FaultInstants:
    """When a fault was there, and when the site was whole again: seconds of CLOCK_MONOTONIC."""

    injected: float
    healed: float
    mended: float


@dataclass(frozen=True)
class CellResult:
    """What was measured in a cell. Times are in seconds from the fault.

    `lost` has, for each kind of request, how many got no complete, correct answer. `back` is when the last of these
    began, 0 if none began after the fault. `late` counts those that began after the time that was expected.
    `duplicated` counts writes that were executed twice. It is None if the application keeps no log of requests.
    `problems` say what was not as expected.
    """

    cell: FailoverCell
    sent: Mapping[RequestKind, int]
    lost: Mapping[RequestKind, int]
    back: float
    late: int
    healed: float
    mended: float
    duplicated: int | None
    release_end: ReleaseOutcome | None
    problems: tuple[str, ...] = ()

    @property
    def all_lost(self) -> int:
        return sum(self.lost.values())

    def as_json(self) -> Mapping[str, Any]:
        return {
            "fault": self.cell.fault.name,
            "title": self.cell.fault.title,
            "moment": str(self.cell.moment),
            "sent": {str(kind): number for kind, number in self.sent.items()},
            "lost": {str(kind): number for kind, number in self.lost.items()},
            "back_seconds": round(self.back, 3),
            "late": self.late,
            "healed_seconds": round(self.healed, 3),
            "mended_seconds": round(self.mended, 3),
            "executed_twice": self.duplicated,
            "release": str(self.release_end) if self.release_end else "",
            "problems": list(self.problems),
        }


def kind_of(row: Row, streams: Sequence[str]) -> RequestKind:
    """Return which kind of request a row is."""
    if row.name in streams:
        return RequestKind.STREAMS
    return RequestKind.READS if row.method in READING else RequestKind.WRITES


def weigh(
    cell: FailoverCell,
    rows: Sequence[Row],
    *,
    instants: FaultInstants,
    streams: Sequence[str],
    duplicated: int | None,
    release_end: ReleaseOutcome | None,
) -> CellResult:
    """Return what users saw, held against the expectation. `rows` are all requests of the cell."""
    failed = [row for row in rows if row.outcome is not Outcome.ANSWERED]
    begun = [_seconds(row.started, instants.injected) for row in failed]
    limit = _limit(cell.expectation, instants)
    lost = {kind: sum(kind_of(row, streams) is kind for row in failed) for kind in RequestKind}
    sent = {kind: sum(kind_of(row, streams) is kind for row in rows) for kind in RequestKind}
    late = sum(seconds > limit for seconds in begun)
    result = CellResult(
        cell=cell,
        sent=sent,
        lost=lost,
        back=max([0.0, *begun]),
        late=late,
        healed=instants.healed - instants.injected,
        mended=instants.mended - instants.injected,
        duplicated=duplicated,
        release_end=release_end,
    )
    return _with_problems(result, limit)


def _limit(expectation: Expectation, instants: FaultInstants) -> float:
    """Return after how many seconds from the fault no request that begins may be lost."""
    if expectation.back is not None:
        return expectation.back
    return instants.mended - instants.injected + AFTER_HEALING


def _with_problems(result: CellResult, limit: float) -> CellResult:
    return CellResult(**{**vars(result), "problems": tuple(_problems(result, limit))})


def _problems(result: CellResult, limit: float) -> Iterator[str]:
    expectation = result.cell.expectation
    for kind, number in result.lost.items():
        if number and kind not in expectation.loses:
            yield f"{number} of {result.sent[kind]} {kind} were lost; none may be"
    if result.late and result.all_lost:
        yield f"{result.late} lost requests began later than {limit:.2f} s after the fault, up to {result.back:.2f} s"
    if result.duplicated:
        yield f"{result.duplicated} writes were executed twice"
    if not sum(result.sent.values()):
        yield "no request was sent, so nothing was measured"
    if result.release_end is not None and result.release_end not in expectation.ends:
        expected = " or ".join(sorted(expectation.ends))
        yield f"the release under way was {result.release_end}; expected: {expected}"


def _seconds(instant: Microseconds, zero: float) -> float:
    return to_seconds(instant) - zero
