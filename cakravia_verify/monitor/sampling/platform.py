"""Slots and proxy as the platform and the kernel see them: running, restarts, limits, CPU, memory, network."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import psutil

from cakravia_verify.errors import PlatformError
from cakravia_verify.monitor.facts import PlatformFacts, SlotFacts
from cakravia_verify.monitor.sampling.source import Collected
from cakravia_verify.monitor.store.samples import MetricSample
from cakravia_verify.platforms.docker.engine.engine import Engine
from cakravia_verify.proxy.protocol import Admission
from cakravia_verify.settings.models import Settings
from cakravia_verify.site.site import Site
from cakravia_verify.slots import Address, Colour, Slot
from cakravia_verify.system.clock import SYSTEM_CLOCK, Clock
from cakravia_verify.system.processes import process_named

EVERY: Final = 10.0
FIRST_LOOK_SECONDS: Final = 5.0
# Container statistics cost the engine and us more.
CONTAINERS_EVERY: Final = 15.0
NANOSECONDS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Usage:
    """Seconds of CPU so far, bytes of memory, and bytes of network so far; None for what is not known."""

    cpu_seconds: float
    memory: int
    received: int | None = None
    sent: int | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """What is known of a slot beyond its version: its limit, and how a container did."""

    is_running: bool
    memory_limit: int | None = None
    restarts: int | None = None
    exit_code: int | None = None
    is_out_of_memory: bool = False


class SlotReader(Protocol):
    """Reads what one platform knows of a slot's resources."""

    def condition(self, colour: Colour, slot: Slot | None) -> Condition: ...

    def usage(self, slot: Slot) -> Usage | None: ...

    def proxy(self) -> tuple[bool, Admission | None]:
        """Return whether the proxy runs, and whether it lets users in; None if that costs too much to know."""
        ...


class PlatformSource:
    """Reports both slots and the proxy. It also knows where each slot is reached."""

    name = "platform"

    def __init__(self, site: Site, reader: SlotReader, *, every: float = EVERY, clock: Clock = SYSTEM_CLOCK) -> None:
        self.every = every
        self.deadline = 3 * every + 10
        self._site = site
        self._reader = reader
        self._clock = clock
        self._slots: Mapping[Colour, Slot | None] = {}
        self._is_known = threading.Event()
        self._cpu: dict[str, tuple[float, float]] = {}

    def address_of(self, colour: Colour) -> Address | None:
        """Return where the slot was last seen, None when nothing ran there.

        Raises PlatformError when the first look takes too long.
        """
        if not self._is_known.wait(FIRST_LOOK_SECONDS):
            raise PlatformError("the slots were not seen yet", remedy="look at the log of the monitor")
        slot = self._slots.get(colour)
        return slot.address if slot else None

    def collect(self) -> Collected:
        at = self._clock.wall()
        slots = {colour: self._site.platform.observe(colour) for colour in Colour}
        self._slots = slots
        self._is_known.set()
        facts = tuple(fact for colour, slot in slots.items() if (fact := self._facts(colour, slot)) is not None)
        self._cpu = {
            slot.identity: self._cpu[slot.identity] for slot in slots.values() if slot and slot.identity in self._cpu
        }
        is_running, admission = self._reader.proxy()
        return Collected(PlatformFacts(at, facts, is_running, admission), list(_samples(facts, at)))

    def _facts(self, colour: Colour, slot: Slot | None) -> SlotFacts | None:
        condition = self._reader.condition(colour, slot)
        usage = self._reader.usage(slot) if slot else None
        if slot is None and condition.exit_code is None:
            return None
        return SlotFacts(
            colour=colour,
            version=slot.version if slot else "",
            identity=slot.identity if slot else "",
            is_running=slot is not None and condition.is_running,
            started_at=slot.started_at if slot else 0.0,
            restarts=condition.restarts,
            exit_code=condition.exit_code,
            is_out_of_memory=condition.is_out_of_memory,
            cpu=self._cores(slot.identity, usage.cpu_seconds) if slot and usage else None,
            memory=usage.memory if usage else None,
            memory_limit=condition.memory_limit,
            received=usage.received if usage else None,
            sent=usage.sent if usage else None,
        )

    def _cores(self, identity: str, seconds: float) -> float | None:
        """Return the cores used since the last look, None at the first."""
        now = self._clock.monotonic()
        before = self._cpu.get(identity)
        self._cpu[identity] = (now, seconds)
        if before is None or now <= before[0]:
            return None
        return max(0.0, (seconds - before[1]) / (now - before[0]))


def _samples(slots: tuple[SlotFacts, ...], at: float) -> Iterator[MetricSample]:
    for slot in slots:
        values = {"cpu": slot.cpu, "memory": slot.memory, "received": slot.received, "sent": slot.sent}
        for name, value in values.items():
            if value is not None:
                yield MetricSample(f"slot/{slot.colour}/{name}", at, float(value))


class ProcessReader:
    """Slots as processes of this machine, with their children."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def condition(self, _colour: Colour, slot: Slot | None) -> Condition:
        return Condition(is_running=slot is not None, memory_limit=self._site.settings.slots.memory_bytes)

    def usage(self, slot: Slot) -> Usage | None:
        process = process_named(slot.identity)
        if process is None:
            return None
        seconds, memory = 0.0, 0
        for each in [process, *_children(process)]:
            with contextlib.suppress(psutil.Error):
                times = each.cpu_times()
                seconds += times.user + times.system
                memory += each.memory_info().rss
        return Usage(seconds, memory)

    def proxy(self) -> tuple[bool, Admission | None]:
        state = self._site.proxy.observe()
        return state.is_running, state.admission


def _children(process: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        return process.children(recursive=True)
    return []


class ContainerReader:
    """Slots as containers, by the statistics of the engine. An engine that is away is not awaited."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self._engine = engine
        self._project = settings.docker.project or settings.site.name
        self._site = settings.site.name

    def condition(self, colour: Colour, slot: Slot | None) -> Condition:
        container = self._engine.ours(f"{self._project}-app-{colour}", site=self._site)
        if container is None:
            return Condition(is_running=False)
        attributes: Mapping[str, Any] = container.attrs
        state = attributes["State"]
        return Condition(
            is_running=slot is not None and bool(state.get("Running")),
            memory_limit=int(attributes["HostConfig"].get("Memory") or 0) or None,
            restarts=int(attributes.get("RestartCount") or 0),
            exit_code=None if state.get("Running") else int(state.get("ExitCode") or 0),
            is_out_of_memory=bool(state.get("OOMKilled")),
        )

    def usage(self, slot: Slot) -> Usage | None:
        number = slot.identity.partition("@")[0]
        stats: Any = self._engine.ask(
            f"reading the statistics of {slot.colour}",
            lambda: self._engine.client.api.stats(number, stream=False, one_shot=True),
        )
        memory = stats.get("memory_stats") or {}
        if "usage" not in memory:
            return None
        networks = (stats.get("networks") or {}).values()
        return Usage(
            cpu_seconds=stats["cpu_stats"]["cpu_usage"]["total_usage"] / NANOSECONDS,
            # Pages of files can be given back at any time: `docker stats` leaves them out as well.
            memory=int(memory["usage"]) - int((memory.get("stats") or {}).get("inactive_file", 0)),
            received=sum(int(each["rx_bytes"]) for each in networks),
            sent=sum(int(each["tx_bytes"]) for each in networks),
        )

    def proxy(self) -> tuple[bool, Admission | None]:
        container = self._engine.ours(f"{self._project}-nginx", site=self._site)
        return container is not None and container.status == "running", None
