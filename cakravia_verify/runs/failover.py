"""Try faults on a site under traffic: on a throw-away copy, or on the live site if its operator says so."""

from __future__ import annotations

import itertools
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from cakravia_verify.errors import CakraviaError, NothingToDo, UsageError
from cakravia_verify.faults.expectations import ReleaseOutcome
from cakravia_verify.faults.heal_journal import HealJournal
from cakravia_verify.faults.healing import HealAction, HealStep
from cakravia_verify.faults.model import Fault, FaultPlace, Moment
from cakravia_verify.faults.proxy_faults import family_of
from cakravia_verify.faults.tcp_proxy import Detour
from cakravia_verify.gate.model import Exit
from cakravia_verify.history.releases import last_holding
from cakravia_verify.platforms.process.nginx_processes import takes_requests, workers_of
from cakravia_verify.platforms.process.versions import VersionStore
from cakravia_verify.recovery.outages import missing_warm_slot
from cakravia_verify.recovery.repair import repair, take_up_changes
from cakravia_verify.recovery.warm_slot import warm_again
from cakravia_verify.release.conditions import is_healthy, kept_artifact
from cakravia_verify.runs.failover_cell import CellResult, FailoverCell, FaultInstants
from cakravia_verify.runs.failover_traffic import FailoverTraffic
from cakravia_verify.site.assembly import open_site
from cakravia_verify.site.site import Site
from cakravia_verify.slots import Colour
from cakravia_verify.system.clock import Deadline, poll
from cakravia_verify.testing.site_copy import CopiedVersion, SiteCopy
from cakravia_verify.testing.throwaway_site import Ended, Running

# Seconds that users are measured before and after a fault, and limits for waits.
SETTLE: Final = 1.0
STEADY_SECONDS: Final = 30.0
RELEASE_SECONDS: Final = 150.0
STEP_SECONDS: Final = 60.0
# The entry in the history at which a fault comes.
TRIGGERS: Final = {
    Moment.BEFORE: ("step.intent", "prove"),
    Moment.DURING: ("step.intent", "switch"),
    Moment.AFTER: ("step.intent", "bake"),
}
_ENDS: Final[Mapping[int, ReleaseOutcome]] = {
    Exit.PROMOTED: ReleaseOutcome.PROMOTED,
    Exit.ROLLED_BACK: ReleaseOutcome.ROLLED_BACK,
}


class Failover:
    """Faults on one site, each for `hold` seconds. `told` gets one line for each thing that happens."""

    def __init__(self, site: Site, *, folder: Path, hold: float, told: Callable[[str], None] = lambda _: None) -> None:
        self.site = site
        self.folder = folder
        self._hold = hold
        self._told = told
        self._stack = ExitStack()
        self._detours: dict[Colour, Detour] = {}
        self._before = Colour.BLUE
        self._last_entry = 0

    def close(self) -> None:
        """End what this began. Safe to call again."""
        self._stack.close()

    def applies(self, fault: Fault, moment: Moment) -> bool:
        """Return whether this cell can be tried here."""
        return moment is Moment.STEADY and not fault.needs_detour

    def try_cell(self, cell: FailoverCell) -> CellResult:
        """Inject the fault at its moment, heal it, and return what users saw. Raises CakraviaError if that fails."""
        self._prepare(cell.fault)
        self._await_steady("before the fault")
        self._before = self.site.proxy.observe().chosen
        self._last_entry = max((entry.seq for entry in self.site.journal.entries()), default=0)
        self.site.bound_logs()
        with FailoverTraffic(self.site, self.folder / "cells" / cell.name) as traffic:
            self.site.clock.sleep(SETTLE)
            release = self._begin_release(cell.moment)
            try:
                instants, end = self._with_fault(cell, release)
            finally:
                self._end_release(release)
            self.site.clock.sleep(SETTLE)
            result = traffic.weighed(cell, instants, release_end=end)
        self._await_steady("after healing")
        return result

    def _with_fault(self, cell: FailoverCell, release: Running | None) -> tuple[FaultInstants, ReleaseOutcome | None]:
        clock = self.site.clock
        place = self._place(cell.moment, release)
        with cell.fault.inject(place):
            injected = clock.monotonic()
            clock.sleep(self._hold)
        healed = clock.monotonic()
        end = _end_of(release.wait(RELEASE_SECONDS)) if release else None
        self._mend()
        return FaultInstants(injected, healed, clock.monotonic()), end

    def _place(self, moment: Moment, release: Running | None) -> FaultPlace:
        """Wait for the moment, and return where the fault is injected. Raises DeadlineExceeded."""
        users = self._before if release is None else self._await_trigger(moment, release)
        slot = self.site.platform.observe(users)
        if slot is None:
            raise NothingToDo(f"{users} runs nothing", remedy="start the site: cakravia up")
        other = self.site.platform.observe(users.other)
        return FaultPlace(self.site, slot, other, HealJournal(self.site.settings.state), self._detours)

    def _await_trigger(self, moment: Moment, release: Running) -> Colour:
        """Wait until the release under way is there. Returns the slot that the fault is about.

        That is the slot of users before the switch, and the candidate during it and after it.
        """
        trigger = TRIGGERS[moment]

        def is_reached() -> bool:
            newest = reversed(self.site.journal.entries())
            since = itertools.takewhile(lambda entry: entry.seq > self._last_entry, newest)
            return any((entry.event, entry.step) == trigger for entry in since)

        poll(
            is_reached,
            deadline=Deadline(f"the release comes to {trigger[1]}", STEP_SECONDS, clock=self.site.clock),
            every=0.005,
            observed=lambda: f"its output ends with: {release.text[-1500:]}",
        )
        return self._before if moment is Moment.BEFORE else self._before.other

    # What a copy does differently.

    def _prepare(self, fault: Fault) -> None:
        """Make the site ready for this fault."""

    def _begin_release(self, moment: Moment) -> Running | None:
        return None

    def _end_release(self, release: Running | None) -> None:
        """End a release that still runs."""

    # Steady state.

    def _await_steady(self, when: str) -> None:
        """Wait until the site is whole. Raises DeadlineExceeded."""
        poll(
            lambda: not self.unsteady(),
            deadline=Deadline(f"the site is in its steady state {when}", STEADY_SECONDS, clock=self.site.clock),
            every=0.2,
            observed=self.unsteady,
        )

    def unsteady(self) -> str:
        """Return what keeps the site from its steady state, '' if it is whole: promoted, healthy, warm, no drift."""
        try:
            state, last = self.site.observe(), last_holding(self.site.journal.entries())
        except CakraviaError as error:
            return error.message
        if last is None or state.active is None or state.served is not last.intent.candidate:
            return f"{state.served or 'no slot'} serves users"
        slots = [slot for slot in (state.slots.blue, state.slots.green) if slot]
        ill = [str(slot) for slot in slots if not is_healthy(self.site, slot)]
        if ill:
            return f"not healthy: {', '.join(ill)}"
        if missing_warm_slot(self.site, state, last) is not None:
            return "no slot stands by"
        if not state.proxy.has_master:
            return "nginx has no master process"
        is_wanted = self.site.settings.proxy.failover and last.intent.policy.keeps_old_slot_as_failover
        if slots[1:] and is_wanted and not state.proxy.has_failover:
            return "failover is not allowed"
        return "; ".join(state.drift)

    def _mend(self) -> None:
        """Bring back what the fault killed, as `cakravia recover` and a supervisor do."""
        with _locked(self.site, "failover") as site:
            for line in (*repair(site), *warm_again(site), *take_up_changes(site)):
                self._told(line)


class FailoverOnCopy(Failover):
    """Faults on a throw-away copy of a site on the embedded platform, also while releases are under way."""

    def __init__(
        self,
        live: Site,
        *,
        folder: Path,
        hold: float,
        pairs: Sequence[tuple[str, Any]],
        told: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.copy = _copied(live, pairs)
        super().__init__(open_site(self.copy.settings, clock=live.clock), folder=folder, hold=hold, told=told)
        self._live = live
        self._releases = iter(range(1, 1_000_000))
        self._is_detoured = False

    def open(self) -> None:
        """Start the copy: two releases of the same version, so that one slot stands by. Raises CakraviaError."""
        journal = HealJournal(self._live.settings.state)
        self._stack.enter_context(journal.healing([HealStep(HealAction.END_COPY, str(self.copy.folder))]))
        self.copy.folder.mkdir(parents=True, exist_ok=True)
        for _ in range(2):
            ended = self.begin_release("--bake", "1", "--set", "budget.min_requests=10").wait(RELEASE_SECONDS)
            if ended.status != Exit.PROMOTED:
                self.close()
                raise NothingToDo(
                    f"the copy cannot be started, status {ended.status}:\n{ended.output[-3000:]}",
                    remedy="correct that, or give the copy other variables in [failover] environment",
                )

    def applies(self, fault: Fault, moment: Moment) -> bool:
        return True

    def begin_release(self, *arguments: str) -> Running:
        """Start a release of the next version on the copy."""
        version = f"{self.copy.version}-copy{next(self._releases)}"
        return self.copy.begin("deploy", version, *arguments, is_detoured=self._is_detoured)

    def _begin_release(self, moment: Moment) -> Running | None:
        if moment is Moment.STEADY:
            return None
        return self.begin_release()

    def _end_release(self, release: Running | None) -> None:
        if release is not None:
            self.copy.end(release)

    def _prepare(self, fault: Fault) -> None:
        """Put the programs between nginx and the slots, or take them away."""
        if fault.needs_detour == self._is_detoured:
            self._forget_failures()
            return
        if fault.needs_detour and not self._detours:
            for colour, port in zip(Colour, self.copy.detour_ports, strict=True):
                detour = Detour(port, self.copy.settings.slot_address(colour))
                self._detours[colour] = self._stack.enter_context(detour)
        settings = self.copy.detoured if fault.needs_detour else self.copy.settings
        self.site = open_site(settings, clock=self.site.clock)
        self._is_detoured = fault.needs_detour
        with _locked(self.site, "failover") as site:
            take_up_changes(site)

    def _forget_failures(self) -> None:
        """Reload nginx: for 30 s it leaves out a slot that failed, so an earlier fault would shorten the next one."""
        family = family_of(self.site.settings)
        master = family.master()
        if master is None:
            return
        before = set(workers_of(master))
        master.send_signal(signal.SIGHUP)
        poll(
            lambda: not before & {pid for pid in workers_of(master) if takes_requests(pid)},
            deadline=Deadline("nginx has new workers", STEADY_SECONDS, clock=self.site.clock),
            every=0.05,
        )


def _copied(live: Site, pairs: Sequence[tuple[str, Any]]) -> SiteCopy:
    """Return the copy of the site, not yet started. Raises UsageError if the site cannot be copied."""
    if live.settings.site.platform != "process":
        raise UsageError("a copy of a site on Docker is not made", remedy="try it on a site on the embedded platform")
    last = last_holding(live.journal.entries())
    kept = kept_artifact(live, version=last.intent.version, digest=last.digest) if last else None
    if last is None or kept is None:
        raise NothingToDo("no version is promoted here, so there is none to copy", remedy="cakravia deploy v1.0.0")
    store = VersionStore(live.settings.state / "versions")
    command = store.command_of(kept, default=live.settings.app.command)
    folder = Path(tempfile.mkdtemp(prefix="cakravia-copy-"))
    return SiteCopy(
        live.settings, CopiedVersion(kept.version, store.source_of(kept), command), folder=folder, pairs=pairs
    )


def _end_of(ended: Ended) -> ReleaseOutcome:
    return _ENDS.get(ended.status, ReleaseOutcome.INCONCLUSIVE)


@contextmanager
def _locked(site: Site, purpose: str) -> Iterator[Site]:
    wait = Deadline("the lock is free", STEADY_SECONDS, clock=site.clock)
    lease = site.lock.acquire(f"cakravia {purpose}", wait=wait)
    try:
        site.journal.token = lease.token
        yield site
    finally:
        site.lock.release()
