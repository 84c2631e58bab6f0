"""What the fixtures of the suites return: the site, its slots, a release and its traffic, a load."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cakravia_verify.analysis.since_switch import lost_since
from cakravia_verify.gate.model import Budget, Measured
from cakravia_verify.health.models import Reading
from cakravia_verify.history.releases import Intent
from cakravia_verify.site.site import Site
from cakravia_verify.slots import Colour, Slot
from cakravia_verify.system.clock import to_microseconds
from cakravia_verify.traffic.records.rows import Row

if TYPE_CHECKING:
    from cakravia_verify.runs.release_run import ReleaseRun


@dataclass(frozen=True)
class SlotView:
    """A slot with a version in it; equal to another view of the same process."""

    slot: Slot
    site: Site

    @property
    def colour(self) -> Colour:
        return self.slot.colour

    @property
    def version(self) -> str:
        return self.slot.version

    @property
    def digest(self) -> str:
        return self.slot.digest

    @property
    def url(self) -> str:
        """The address of the slot itself, past the proxy: what a check of a candidate asks."""
        return self.slot.address.url

    def probe(self, endpoint: str) -> Reading:
        return self.site.prober.read(self.slot.address, endpoint)

    def probe_all(self) -> tuple[Reading, ...]:
        return self.site.readings(self.slot)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, SlotView):
            return (self.slot.colour, self.slot.identity) == (other.slot.colour, other.slot.identity)
        return NotImplemented

    def __hash__(self) -> int:
        return hash((self.slot.colour, self.slot.identity))

    def __str__(self) -> str:
        return str(self.slot)

    __repr__ = __str__


class SiteView:
    """The site as it is now; each call reads it again."""

    def __init__(self, site: Site) -> None:
        self._site = site

    @property
    def url(self) -> str:
        """The address that users ask: the proxy."""
        return self._site.proxy.address.url

    def serving_slot(self) -> SlotView | None:
        """Return the slot that answers users now; None if no slot does."""
        served = self._site.serving()
        slot = self._site.platform.observe(served.slot) if served.slot else None
        return SlotView(slot, self._site) if slot else None

    def slot(self, colour: Colour) -> SlotView | None:
        slot = self._site.platform.observe(colour)
        return SlotView(slot, self._site) if slot else None


class ReleaseView:
    """The release under test."""

    def __init__(self, run: ReleaseRun) -> None:
        self._run = run
        state = run.state
        self._active = SlotView(state.active, run.site) if state and state.active else None

    @property
    def id(self) -> str:
        return self._run.release.id

    @property
    def intent(self) -> Intent:
        return self._run.release.intent

    @property
    def version(self) -> str:
        return self.intent.version

    @property
    def active(self) -> SlotView | None:
        """The slot users were on when the release began; None on an empty site."""
        return self._active

    @property
    def served(self) -> SlotView | None:
        """The slot that answered users when the release began to prove its version; None if users got no answer."""
        state, candidate = self._run.state, self._run.release.facts.candidate
        if self._run.has_moved_users_first and candidate is not None:
            return SlotView(candidate, self._run.site)
        return self._active if state and state.active and state.served is state.active.colour else None

    @property
    def is_first(self) -> bool:
        return self.intent.active is None


@dataclass(frozen=True)
class SwitchoverView:
    """The switch of users to the candidate. Instants are CLOCK_MONOTONIC seconds."""

    begin: float
    end: float
    milliseconds: float
    confirmations: int


class TrafficView:
    """The traffic of this run, by its records until now."""

    def __init__(self, run: ReleaseRun) -> None:
        self._run = run

    @property
    def is_flowing(self) -> bool:
        return self._run.traffic_run is not None and self._run.traffic_run.is_alive

    @property
    def sent(self) -> int:
        """The number of requests that have ended."""
        return self._run.traffic_run.follow() if self._run.traffic_run else 0

    def lost(self, *, during: SwitchoverView) -> list[Row]:
        """Return the requests lost since the switchover, once every request planned within the bake has ended."""
        traffic_run, release = self._run.traffic_run, self._run.release
        if traffic_run is None:
            return []
        deadline = release.deadline("requests under way end", traffic_run.plan.longest_timeout + 1)
        traffic_run.settle(deadline=deadline, until=release.facts.bake_ended)
        return lost_since(traffic_run.lost, to_microseconds(during.begin))


@dataclass(frozen=True)
class TrafficProblems:
    """The traffic checks that fail or are unknown now."""

    measured: Measured | None
    problems: tuple[str, ...]

    @property
    def passes(self) -> bool:
        return self.measured is not None and not self.problems


class BakeView:
    """The bake: users were on the candidate while both slots ran."""

    def __init__(self, run: ReleaseRun) -> None:
        self._run = run

    @property
    def seconds(self) -> float:
        facts = self._run.release.facts
        return (facts.bake_ended or 0.0) - (facts.bake_began or 0.0)

    @property
    def bad_rounds(self) -> int:
        return self._run.release.facts.bake_bad_rounds

    def judged_by(self, budget: Budget) -> TrafficProblems:
        measured = self._run.measured_so_far()
        return TrafficProblems(measured, self._run.problems(measured, budget))


@dataclass(frozen=True)
class LoadView:
    """What a load on the live site showed.

    `seconds` is how long it flowed. `ended_early` says why it stopped before its end; empty if it did not.
    """

    seconds: float
    ended_early: str
    sent: int
    lost: tuple[Row, ...]
    slot_before: SlotView
    slot_after: SlotView | None
