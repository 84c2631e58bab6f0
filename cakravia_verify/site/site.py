"""One site: its parts, and its observed state with the drift between them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cakravia_verify.errors import ProxyError
from cakravia_verify.foreign_text import LONGEST_NAME, one_line
from cakravia_verify.health.models import Reading
from cakravia_verify.health.probe import Prober
from cakravia_verify.history.journal import Journal
from cakravia_verify.history.releases import flaw_of, is_taken_down, knows, last_holding
from cakravia_verify.platforms.protocol import Platform
from cakravia_verify.proxy.protocol import Proxy, ProxyState
from cakravia_verify.settings.models import Settings
from cakravia_verify.site.lock import Lock
from cakravia_verify.slots import Colour, Slot, SlotPair
from cakravia_verify.system.clock import SYSTEM_CLOCK, Clock

SERVED_SLOT_HEADER = "X-Served-Slot"


@dataclass(frozen=True)
class SiteState:
    """The observed state of a site. `served` is the slot that answered through the proxy, None without an answer.
    `drift` has one sentence for each disagreement between proxy, platform, answers and history."""

    slots: SlotPair
    proxy: ProxyState
    served: Colour | None
    served_version: str | None
    drift: tuple[str, ...]

    @property
    def active(self) -> Slot | None:
        return self.slots.active

    @property
    def is_empty(self) -> bool:
        return self.slots.blue is None and self.slots.green is None and not self.proxy.is_running


@dataclass(frozen=True)
class Served:
    """The answer to one request through the proxy: its slot, its version, or the problem."""

    slot: Colour | None
    version: str | None
    problem: str


@dataclass
class Site:
    """The parts of one site."""

    settings: Settings
    platform: Platform
    proxy: Proxy
    prober: Prober
    journal: Journal
    lock: Lock
    clock: Clock = SYSTEM_CLOCK

    def serving(self) -> Served:
        """Send one request through the proxy, and return which slot answered."""
        contract = self.settings.contract
        path = next(iter(contract.endpoints.values()))
        headers: Mapping[str, str] = {}
        with contextlib.suppress(ProxyError):  # an operator who may only read has no key, and asks like a user
            headers = self.proxy.passing_header
        answer = self.prober.request(self.proxy.address, "GET", path, headers=headers)
        version = answer.headers.get(contract.version_header)
        named = answer.headers.get(SERVED_SLOT_HEADER) or answer.headers.get(contract.slot_header) or ""
        problem = answer.problem or (f"status {answer.status_code}" if (answer.status_code or 0) in (502, 504) else "")
        return Served(
            slot=Colour(named) if named in set(Colour) and not problem else None,
            version=one_line(version, longest=LONGEST_NAME) if version is not None else None,
            problem=problem,
        )

    def readings(self, slot: Slot) -> tuple[Reading, ...]:
        """Read every health endpoint of the slot once, past the proxy."""
        return self.prober.read_all(slot.address)

    def fetch_logs(self) -> None:
        """Bring the local copies of the logs of proxy and slots up to date."""
        self.proxy.fetch_logs()
        self.platform.fetch_logs()

    def bound_logs(self) -> None:
        """Cut the logs that grew beyond their bounds. Call it before a run reads logs, never during one."""
        self.proxy.bound_logs()
        self.platform.bound_logs()

    def observe(self) -> SiteState:
        """Observe proxy, slots and one answer through the proxy, and compare them with the history."""
        proxy = self.proxy.observe()
        blue, green = self.platform.observe(Colour.BLUE), self.platform.observe(Colour.GREEN)
        served = self.serving() if proxy.is_running else Served(None, None, "the proxy is not running")
        if served.slot and {Colour.BLUE: blue, Colour.GREEN: green}[served.slot] is None:
            served = Served(None, None, f"another program answers at the address of {served.slot}, which is empty")
        pair = SlotPair(_active_colour(proxy, served, blue, green), blue, green)
        return SiteState(
            slots=pair,
            proxy=proxy,
            served=served.slot,
            served_version=served.version,
            drift=tuple(self._drift(proxy, served, pair)),
        )

    def _drift(self, proxy: ProxyState, served: Served, pair: SlotPair) -> Iterator[str]:
        if proxy.is_running:
            if served.slot and served.slot is not proxy.chosen:
                yield f"the proxy points at {proxy.chosen}, but {served.slot} answers users"
            running = pair.at(proxy.chosen)
            if running is None:
                yield f"the proxy points at {proxy.chosen}, but nothing runs there"
            elif served.slot is None:
                yield f"users get no answer from {running}: {served.problem or 'the answer names no slot'}"
            elif served.slot is running.colour and served.version not in (None, running.version):
                yield f"{running} answers as version {served.version}"
        elif pair.blue or pair.green:
            yield "slots run, but the proxy does not: users get no answer"
        yield from self._disagreement_with_history(proxy, pair)
        yield from self._drift_of_companions()
        if doubt := self.doubt_about_history(pair.active):
            yield doubt
        if lag := self.lock.lag():
            yield lag

    def doubt_about_history(self, active: Slot | None) -> str:
        """Return why the history must not move users, '' if it is reliable.

        It may be damaged. Or it lacks the release whose version users are on: an old copy of the file was restored.
        """
        if flaw := flaw_of(self.journal):
            return f"the history cannot be relied on: {flaw}"
        entries = self.journal.entries()
        is_foreign = active is not None and active.release and not knows(entries, active.release)
        if is_foreign and active is not None and any(entry.event == "release.started" for entry in entries):
            return f"the history does not know release {active.release}, whose version runs in {active}"
        return ""

    def _disagreement_with_history(self, proxy: ProxyState, pair: SlotPair) -> Iterator[str]:
        entries = self.journal.entries()
        last, active = last_holding(entries), pair.active
        if last is None:
            if active is not None and proxy.is_running:
                yield f"{active} serves users, but the history has no release"
            return
        expected = f"{last.intent.candidate} ({last.intent.version})"
        if active is None:
            if proxy.is_running or pair.blue or pair.green:
                yield f"the history says that {expected} serves users, but no slot does"
            elif not is_taken_down(entries):
                yield f"the history says that {expected} serves users, but nothing runs"
        elif (active.colour, active.version) != (last.intent.candidate, last.intent.version):
            yield f"the history says that {expected} serves users, but {active} does"
        elif last.digest and active.digest != last.digest:
            yield f"{active} runs {active.digest[:19]}, but the history promoted {last.digest[:19]}"

    def _drift_of_companions(self) -> Iterator[str]:
        running = {companion.name: companion for companion in self.platform.companions.running()}
        wanted = [companion.name for companion in self.settings.companions]
        if not running and not wanted:
            return
        entries = self.journal.entries()
        last = None if is_taken_down(entries) else last_holding(entries)
        for each in running.values():
            if last is None or each.name not in wanted:
                yield f"companion {each} runs, but {'no version should' if last is None else 'the settings have none'}"
            elif each.digest != last.digest:
                yield f"companion {each} runs, but the history promoted {last.intent.version}"
        if last is not None:
            yield from (f"companion {name} does not run" for name in wanted if name not in running)


def _active_colour(proxy: ProxyState, served: Served, blue: Slot | None, green: Slot | None) -> Colour | None:
    if served.slot is not None:
        return served.slot
    if proxy.is_running:
        return proxy.chosen
    running = [slot.colour for slot in (blue, green) if slot]
    return proxy.chosen if proxy.chosen in running else next(iter(running), None)
