"""The findings of the ledger about one run, as frozen facts for the gate and the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from cakravia_verify.stats.bounds import failures_in_words

LedgerRow = Mapping[str, Any]
"""A row of the ledger, or of one of its sources, by column name."""


class Kind(StrEnum):
    """The kinds of findings: the three records of a request disagree, or a record itself is wrong."""

    TRUNCATED = "truncated_ledger"
    NO_SUMMARY = "no_traffic_summary"
    BAD_END = "traffic_ended_badly"
    UNFINISHED = "started_but_not_recorded"
    MISSING_SOURCE = "missing_source"
    MALFORMED = "malformed_row"
    DUPLICATE_ID = "duplicate_client_id"
    UNKNOWN_OUTCOME = "unknown_outcome"
    CONTRADICTION = "answered_without_an_answer"
    UNKNOWN_AT_PROXY = "proxy_row_without_client_row"
    UNKNOWN_AT_APPLICATION = "application_row_without_client_row"
    MISSING_AT_PROXY = "missing_at_proxy"
    MISSING_AT_APPLICATION = "missing_at_application"
    REPEATED_AT_PROXY = "repeated_at_proxy"
    UNREACHED_BUT_SEEN = "unreached_but_seen"
    STATUS_DISAGREES = "status_disagrees"
    SLOT_DISAGREES = "slot_disagrees"
    VERSION_DISAGREES = "version_disagrees"

    @property
    def is_mismatch(self) -> bool:
        """Whether client, proxy and application recorded different things about a request."""
        return self in _MISMATCHES


_MEANING: dict[Kind, str] = {
    Kind.TRUNCATED: "the client's file does not hold as many rows as the client says it finished",
    Kind.NO_SUMMARY: "traffic.json is missing or unreadable, so nothing proves that the client's file is complete",
    Kind.BAD_END: "the traffic did not end as asked",
    Kind.UNFINISHED: "requests were started and neither finished nor recorded",
    Kind.MISSING_SOURCE: "a log that belongs to the run is not there",
    Kind.MALFORMED: "a row could not be read",
    Kind.DUPLICATE_ID: "an id stands in the client's file more than once",
    Kind.UNKNOWN_OUTCOME: "the client recorded an outcome that does not exist; it is counted as lost",
    Kind.CONTRADICTION: "the client calls a request answered, but recorded no status or no end",
    Kind.UNKNOWN_AT_PROXY: "the proxy saw an id of this run that the client never recorded",
    Kind.UNKNOWN_AT_APPLICATION: "the application saw an id of this run that the client never recorded",
    Kind.MISSING_AT_PROXY: "the client got an answer to a request that the proxy never logged",
    Kind.MISSING_AT_APPLICATION: "the proxy had an answer from an upstream that never logged the request",
    Kind.REPEATED_AT_PROXY: "the proxy received the same id more than once: something between resends",
    Kind.UNREACHED_BUT_SEEN: "the client says it never wrote the request, but it arrived",
    Kind.STATUS_DISAGREES: "client and proxy recorded different statuses",
    Kind.SLOT_DISAGREES: "client, proxy and application name different slots",
    Kind.VERSION_DISAGREES: "client and application name different versions",
}

_MISMATCHES = frozenset(
    {
        Kind.UNKNOWN_AT_PROXY,
        Kind.UNKNOWN_AT_APPLICATION,
        Kind.MISSING_AT_PROXY,
        Kind.MISSING_AT_APPLICATION,
        Kind.REPEATED_AT_PROXY,
        Kind.UNREACHED_BUT_SEEN,
        Kind.STATUS_DISAGREES,
        Kind.SLOT_DISAGREES,
        Kind.VERSION_DISAGREES,
    }
)


@dataclass(frozen=True)
class Source:
    """A raw file as it was read: rows used, rows of other runs, whether its last line was cut, its SHA-256."""

    role: str
    path: str
    bytes: int
    rows: int
    foreign: int
    is_torn: bool
    sha256: str


@dataclass(frozen=True)
class Finding:
    """A disagreement or a defect, how often it occurs, and its first raw rows."""

    kind: Kind
    total: int
    rows: tuple[LedgerRow, ...] = ()
    seen: str = ""

    def __str__(self) -> str:
        return f"{self.total:,} x {self.kind.value}: {_MEANING[self.kind]}" + (f" ({self.seen})" if self.seen else "")


@dataclass(frozen=True)
class Rows:
    """How many ledger rows have a property, and the first of them in full."""

    total: int
    first: tuple[LedgerRow, ...] = ()


@dataclass(frozen=True)
class Counts:
    """Requests by outcome; every request is in exactly one."""

    answered: int = 0
    lost: int = 0
    error: int = 0
    unreached: int = 0

    @property
    def total(self) -> int:
        return self.answered + self.lost + self.error + self.unreached

    @property
    def failed(self) -> int:
        """All requests without a good answer."""
        return self.total - self.answered

    def plus(self, outcome: str, number: int) -> Counts:
        return Counts(**{**asdict(self), outcome: getattr(self, outcome) + number})


@dataclass(frozen=True)
class Schedule:
    """Planned and achieved requests; rates in requests per second. All zero if traffic.json cannot be read."""

    planned: int = 0
    started: int = 0
    finished: int = 0
    rate_planned: float = 0.0
    rate_achieved: float = 0.0
    ended: str = ""


@dataclass(frozen=True)
class FenceReport:
    """Requests that the old slot answered although they began after the fence.

    `straddling` were begun before the fence and written completely after it: the proxy may have chosen their slot
    already (and the instant of a write is noted after it), so they are counted apart.
    """

    violations: Rows
    straddling: Rows


@dataclass(frozen=True)
class LedgerFindings:
    """One run in numbers; a number is None if its log was not given."""

    total: int
    counts: Counts
    strict: Counts
    not_strict: Counts
    by_slot: Mapping[str, Counts]
    by_version: Mapping[str, Counts]
    by_name: Mapping[str, Counts]
    lost: Rows
    errors: Rows
    unreached: Rows
    executed: int | None
    lost_but_executed: int | None
    duplicated: Rows | None
    masked: Rows | None
    idle_closes: int
    schedule: Schedule
    findings: tuple[Finding, ...]
    sources: tuple[Source, ...] = field(default=())

    @property
    def integrity(self) -> tuple[Finding, ...]:
        """Findings that leave the numbers unproven: with one of them no verdict is PROMOTE."""
        return tuple(finding for finding in self.findings if not finding.kind.is_mismatch)

    @property
    def is_complete(self) -> bool:
        return self.total > 0 and not self.integrity

    @property
    def lost_in_words(self) -> str:
        """For instance "0 of 30,124, < 0.010% at 95%"."""
        return failures_in_words(self.counts.lost, self.total)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values only, for JSON."""
        return {**asdict(self), "is_complete": self.is_complete, "lost_in_words": self.lost_in_words}
