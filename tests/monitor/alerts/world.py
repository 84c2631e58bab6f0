"""A simulated site under the real rules, evaluator, book and outbox: time passes only when told to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cakravia_verify.monitor.alerts.book import open_book
from cakravia_verify.monitor.alerts.evaluator import Evaluator
from cakravia_verify.monitor.alerts.message import Surroundings
from cakravia_verify.monitor.alerts.rules import rules_for
from cakravia_verify.monitor.alerts.view import View
from cakravia_verify.monitor.database import Database
from cakravia_verify.monitor.facts import (
    DriftFacts,
    LastChange,
    PlatformFacts,
    Probe,
    ProbeTarget,
    ReleaseStatus,
    RollbackFacts,
    Round,
    SlotFacts,
    VantageFacts,
)
from cakravia_verify.monitor.notify.message import Message, Urgency
from cakravia_verify.monitor.notify.outbox import Outbox
from cakravia_verify.proxy.protocol import Admission
from cakravia_verify.settings.monitor import MaintenanceWindow, MonitorSettings
from cakravia_verify.site.maintenance import Maintenance
from cakravia_verify.slots import Colour

ENDPOINTS = ("health", "ready", "live", "status")
INTERVAL = 2.0
# After a command let go of the site, as the service does it.
GRACE = 8.0


class World:
    """What the sources would report. Change the attributes, then let time pass; `messages` is what was sent.

    `answering` is the slot that answers users while failover serves them.
    """

    def __init__(
        self,
        database: Database,
        *,
        maintenance: tuple[MaintenanceWindow, ...] = (),
        channels: tuple[str, ...] = ("ops",),
    ) -> None:
        self._channels = dict.fromkeys(channels, Urgency.INFO)
        self.now = 1_700_000_000.0
        self.users = ""
        self.outside = ""
        self.slots: dict[Colour, str | None] = {Colour.BLUE: "", Colour.GREEN: ""}
        self.served = Colour.BLUE
        self.answering: Colour | None = None
        self.purpose = ""
        self.drift: tuple[str, ...] = ()
        self.is_proxy_running = True
        self.is_online = True
        self.is_down = False
        self.is_history_read = True
        self.silent: dict[str, float] = {}
        self.restarted: dict[Colour, float] = {}
        self.last_change: LastChange | None = None
        self.supervised: LastChange | None = None
        self.maintenance: Maintenance | None = None
        self.admission: Admission | None = None
        self.messages: list[Message] = []
        self._settled_at = 0.0
        self._maintenance = maintenance
        self._database = database
        self.restart_monitor()

    def restart_monitor(self) -> None:
        """A new monitor with what the last one stored."""
        self.outbox = Outbox(self._database, channels=self._channels)
        self.evaluator = Evaluator(
            rules_for(MonitorSettings()),
            self._database,
            self.outbox,
            surroundings=self._surroundings,
            maintenance=self._maintenance,
        )
        self.evaluator.load()

    def _surroundings(self) -> Surroundings:
        rollback = RollbackFacts(self.now, is_possible=True, detail="v1.2.0", users_back=2.1, basis="3 rollbacks")
        return Surroundings("shop", self.last_change, rollback)

    def view(self) -> View:
        if self._release().is_busy:
            self._settled_at = self.now + GRACE
        return View(
            now=self.now,
            rounds={
                ProbeTarget.USERS: _round(ProbeTarget.USERS, self.now, self.users, slot=self.answering or self.served),
                ProbeTarget.OUTSIDE: _round(ProbeTarget.OUTSIDE, self.now, self.outside),
                **{
                    ProbeTarget(colour): _round(
                        ProbeTarget(colour), self.now, problem or "", is_there=problem is not None
                    )
                    for colour, problem in self.slots.items()
                },
            },
            release=self._release() if self.is_history_read else None,
            platform=PlatformFacts(
                self.now,
                tuple(
                    SlotFacts(colour, "v1", str(colour), problem is not None, 0.0)
                    for colour, problem in self.slots.items()
                ),
                self.is_proxy_running,
                self.admission,
            ),
            drift=DriftFacts(self.now, self.drift),
            vantage=VantageFacts(self.now, self.is_online, "the gateway does not answer"),
            silent=self.silent,
            settled_at=self._settled_at,
            restarted=self.restarted,
        )

    def _release(self) -> ReleaseStatus:
        return ReleaseStatus(
            self.now,
            self.purpose,
            True,
            self.is_down,
            self.served,
            True,
            "",
            self.last_change,
            self.supervised,
            self.maintenance,
        )

    def pass_time(self, seconds: float, *, step: float = INTERVAL) -> list[Message]:
        """Return the messages of that time. Every step brings a new reading of everything."""
        count, end = len(self.messages), self.now + seconds
        while self.now < end - 1e-9:
            self.now += step
            self.messages += self.evaluator.evaluate(self.view()).messages
        return self.messages[count:]

    def set(self, **values: Any) -> None:
        for name, value in values.items():
            setattr(self, name, value)


def _round(target: ProbeTarget, at: float, problem: str, *, slot: Colour | None = None, is_there: bool = True) -> Round:
    probes = tuple(Probe(endpoint, problem, slot=str(slot) if slot else None) for endpoint in ENDPOINTS)
    return Round(target, at, probes if is_there else (), is_there)


@contextmanager
def simulated(folder: Path, *, maintenance: tuple[MaintenanceWindow, ...] = ()) -> Iterator[World]:
    database = open_book(folder)
    try:
        yield World(database, maintenance=maintenance)
    finally:
        database.close()
