"""What each fault may cost users, and what a release under way does. docs/FAILOVER.md has the same table.

The ledger decides if a site keeps to it. A request without a complete and correct answer is
lost. The reason does not matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, TypeAlias

from cakravia_verify.faults.model import Moment

# Seconds. With a warm second slot no request that begins later than this after the fault is lost.
AT_ONCE: Final = 0.25
# Seconds after the healing in which the last request may be lost.
AFTER_HEALING: Final = 1.0


class RequestKind(StrEnum):
    """What a request may do: reads change nothing, writes do, streams are held open."""

    READS = "reads"
    WRITES = "writes"
    STREAMS = "streams"


class ReleaseOutcome(StrEnum):
    """How a release under way ends."""

    PROMOTED = "promoted"
    ROLLED_BACK = "rolled back"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Expectation:
    """What users may see. `loses` names the kinds of requests of which some may be lost.

    `back` is the time in seconds from the fault after which no request that begins is lost. None: until the fault is
    healed and the site is mended. `ends` are the ends that a release under way may have.
    """

    loses: frozenset[RequestKind] = frozenset()
    back: float | None = 0.0
    ends: frozenset[ReleaseOutcome] = frozenset(ReleaseOutcome)

    @property
    def loss_in_words(self) -> str:
        if not self.loses:
            return "none"
        return "until healed" if self.back is None else f"begun in {self.back:g} s"

    @property
    def end_in_words(self) -> str:
        if self.ends == frozenset(ReleaseOutcome):
            return "any end"
        return " or ".join(sorted(self.ends))


ALL: Final = frozenset(RequestKind)
NOTHING: Final = Expectation()
IN_FLIGHT: Final = Expectation(ALL, AT_ONCE)
UNTIL_HEALED: Final = Expectation(ALL, None)


def going_on(expectation: Expectation) -> Expectation:
    """Return the expectation for a release that is promoted all the same."""
    return replace(expectation, ends=frozenset({ReleaseOutcome.PROMOTED}))


def stopping(expectation: Expectation) -> Expectation:
    """Return the expectation for a release that never promotes."""
    return replace(expectation, ends=frozenset({ReleaseOutcome.ROLLED_BACK, ReleaseOutcome.INCONCLUSIVE}))


# Without a release, before the switch of one, during it, after it.
Row: TypeAlias = tuple[Expectation, Expectation, Expectation, Expectation]


def _same(expectation: Expectation) -> Row:
    return (expectation, expectation, expectation, expectation)


EXPECTATIONS: Final[Mapping[str, Row]] = {
    # No failover from the preparation of a release to its promotion: an unproven version gets no users that way, and no
    # users go back without the release knowing it. The release itself brings them back.
    "slot-killed": (IN_FLIGHT, stopping(UNTIL_HEALED), stopping(UNTIL_HEALED), stopping(UNTIL_HEALED)),
    "slot-terminated": (IN_FLIGHT, stopping(UNTIL_HEALED), stopping(UNTIL_HEALED), stopping(UNTIL_HEALED)),
    "slot-stopped": _same(UNTIL_HEALED),
    "slot-crash-loop": _same(UNTIL_HEALED),
    "slot-flapping": _same(UNTIL_HEALED),
    "slot-starved": _same(NOTHING),
    "slot-memory": _same(UNTIL_HEALED),
    "slot-descriptors": _same(UNTIL_HEALED),
    "slot-disk-full": _same(UNTIL_HEALED),
    "standby-killed": (NOTHING, stopping(NOTHING), IN_FLIGHT, NOTHING),
    "standby-stopped": (NOTHING, NOTHING, UNTIL_HEALED, NOTHING),
    "both-killed": (UNTIL_HEALED, stopping(UNTIL_HEALED), stopping(UNTIL_HEALED), stopping(UNTIL_HEALED)),
    "worker-killed": _same(IN_FLIGHT),
    "worker-stopped": _same(UNTIL_HEALED),
    "master-killed": _same(going_on(NOTHING)),
    "nginx-killed": (UNTIL_HEALED, stopping(UNTIL_HEALED), stopping(UNTIL_HEALED), stopping(UNTIL_HEALED)),
    "reload": _same(going_on(NOTHING)),
    "bad-reload": _same(going_on(NOTHING)),
    "half-written": _same(going_on(NOTHING)),
    # Before the switch the other slot runs a version that is not proven.
    "stray-switch": (NOTHING, UNTIL_HEALED, NOTHING, NOTHING),
    "network-refused": (IN_FLIGHT, UNTIL_HEALED, UNTIL_HEALED, UNTIL_HEALED),
    "network-cut": (IN_FLIGHT, UNTIL_HEALED, UNTIL_HEALED, UNTIL_HEALED),
    "network-silent": _same(UNTIL_HEALED),
    "network-half-open": _same(UNTIL_HEALED),
    "network-latency": _same(NOTHING),
    "network-slow": _same(UNTIL_HEALED),
    "network-reset": _same(UNTIL_HEALED),
    "answers-503": _same(UNTIL_HEALED),
}


def expectation_of(fault: str, moment: Moment) -> Expectation:
    """Return what the fault may cost at that moment."""
    return EXPECTATIONS[fault][[*Moment].index(moment)]
