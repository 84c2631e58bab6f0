"""Releases that die at a given point while strict users look on, and what is left once the next command has run.

Cells run side by side, each lane on a site of its own. One traffic, started by nobody's release, runs through all cells
of a lane and through the commands between them: what it loses, users lose.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from cakravia_verify.errors import CakraviaError
from cakravia_verify.history.releases import Record, records
from cakravia_verify.settings.loading import load_settings
from cakravia_verify.site.assembly import open_site
from cakravia_verify.site.site import Site, SiteState
from cakravia_verify.slots import Colour, Slot
from cakravia_verify.system.clock import SYSTEM_CLOCK, Deadline, to_microseconds
from cakravia_verify.traffic.plan.from_settings import plan_of
from cakravia_verify.traffic.records.rows import Row
from cakravia_verify.traffic.run import TrafficRun
from tests.plugin.sessions.shop import Ended, Shop
from tests.tiers import Machine

LANES = (os.cpu_count() or 1) + 1
VERSIONS = ("v1.0.0", "v2.0.0")
PLUGINS = Path(__file__).resolve().parent
# Short, for this is about where a release dies, not about how much it proves before.
QUICK = {
    "release.bake": "0.3",
    "release.confirmations": "3",
    "health.interval": "0.05",
    "budget.min_requests": "15",
    "budget.min_each": "0",
    "budget.min_rate_held": "0.5",
    "traffic.rate": "60",
    "traffic.users": "8",
}
HEADERS = {"slot": "X-Deployment-Slot", "version": "X-Deployment-Version", "served": "X-Served-Slot"}
OUR_RATE, OUR_USERS = 40.0, 8


@dataclass(frozen=True)
class Cell:
    """A release of `kind` that meets `death` (dying.py); `then` is the command that comes next."""

    kind: str
    death: str
    then: str = "recover"

    def __str__(self) -> str:
        return f"{self.kind}-{self.death.replace('@', '-').replace(',', '-')}" + (
            "" if self.then == "recover" else f"-then-{self.then}"
        )

    @property
    def signal(self) -> str:
        """The signal that ends the process."""
        return "SIGKILL" if "SIGKILL" in self.death else self.death.partition("@")[0]


@dataclass(frozen=True)
class Told:
    """Everything that a cell left. `before` and `after` are versions that users got; `told` holds the new entries."""

    cell: Cell
    ended: Ended
    next: Ended
    strikes: tuple[str, ...]
    struck_at: float
    way_out: float
    version: str
    before: str
    after: str
    state: SiteState
    ill: tuple[str, ...]
    record: Record | None
    damage: tuple[str, ...]
    unfinished: int
    strays: tuple[str, ...]
    traffic_left: int
    answered: int
    suffered: tuple[Row, ...]
    verdict: Mapping[str, Any]
    report: frozenset[str]
    entries: tuple[Mapping[str, Any], ...]

    @property
    def shown(self) -> str:
        return f"status {self.ended.status}\n{self.ended.output[-3000:]}\nthen {self.next.status}\n{self.next.output}"


class Lane:
    """A site with two versions, and users on it from the first cell to the last."""

    def __init__(self, folder: Path, *, shop: Shop | None = None) -> None:
        self.shop = shop or Shop(folder / "site")
        self.flow = TrafficRun(self._plan(folder / "users"), clock=SYSTEM_CLOCK)
        for version in VERSIONS:
            first = self.release("deploy", version)
            assert first.status == 0, first.output
        self.flow.start(deadline=Deadline("users come", 30.0), requests=5)

    def _plan(self, folder: Path) -> Any:
        settings = load_settings(self.shop.settings, environment={})
        traffic = settings.traffic.model_copy(update={"rate": OUR_RATE, "users": OUR_USERS})
        address = settings.proxy.address
        return plan_of(traffic, address=address, folder=folder, run="onlookers", headers=HEADERS, root=folder)

    def site(self) -> Site:
        return open_site(load_settings(self.shop.settings, environment={}))

    def release(self, kind: str, version: str, *, death: str = "") -> Ended:
        arguments = [part for pair in QUICK.items() for part in ("--set", "=".join(pair))]
        environment = {}
        if death:
            arguments += ["-p", "dying"]
            environment = {"CAKRAVIA_TEST_DEATH": death, "PYTHONPATH": str(PLUGINS)}
        if kind == "deploy":
            return self.shop.deploy(version, *arguments, environment=environment)
        return self.shop.roll_back("--version", version, *arguments, environment=environment)

    def empty_the_idle_slot(self) -> None:
        site = self.site()
        site.platform.stop(site.observe().slots.idle_colour, deadline=Deadline("the idle slot ends", 10.0))

    def play(self, cell: Cell, *, meanwhile: Callable[[], None] = lambda: None) -> Told:
        """The cell, and `meanwhile` between the release and the command that comes next."""
        shop = self.shop
        for name in ("struck", "strikes"):
            (shop.folder / name).unlink(missing_ok=True)
        before = shop.serving()
        version = next(each for each in VERSIONS if each != before)
        if "stage.midway" in cell.death:  # nothing is started in a slot that is warm
            self.empty_the_idle_slot()
        known, began = len(shop.history()), time.monotonic()
        self.flow.follow()
        ended = self.release(cell.kind, version, death=cell.death)
        meanwhile()
        followed = self._next(cell, version)
        suffered, answered = self._suffered_since(began)
        traffic_left = shop.traffic_left()
        struck = shop.folder / "struck"
        strikes = shop.folder / "strikes"
        struck_at = float(struck.read_text().split()[0]) if struck.exists() else ended.at
        site = self.site()
        state = site.observe()
        running = [slot for slot in (state.slots.blue, state.slots.green) if slot]
        entries = site.journal.entries()
        ours = next((each.release for each in entries[known:] if each.event == "release.started"), "")
        told = [record for record in records(entries) if record.intent.release == ours]
        report = shop.reports / ours if ours else shop.reports / "none"
        return Told(
            cell=cell,
            ended=ended,
            next=followed,
            strikes=tuple(strikes.read_text().split()) if strikes.exists() else (),
            struck_at=struck_at,
            way_out=ended.at - struck_at,
            version=version,
            before=before,
            after=shop.serving(),
            state=state,
            ill=_ill(site, running),
            record=told[0] if told else None,
            damage=tuple(site.journal.damage()),
            unfinished=sum(1 for record in records(entries) if not record.is_finished),
            strays=tuple(strays(shop, site)),
            traffic_left=traffic_left,
            answered=answered,
            suffered=tuple(suffered),
            verdict=_verdict(report),
            report=frozenset(path.name for path in report.iterdir()) if report.is_dir() else frozenset(),
            entries=tuple(shop.history()[known:]),
        )

    def _next(self, cell: Cell, version: str) -> Ended:
        if cell.then in ("recover", "up"):
            return self.shop.cakravia(cell.then)
        return self.release("deploy", version)

    def _suffered_since(self, began: float) -> tuple[list[Row], int]:
        """Requests that did not get what users are owed, of all that were planned up to now; and how many did."""
        flow = self.flow
        flow.settle(deadline=Deadline("users' requests end", 20.0))
        bad = [row for row in (*flow.lost, *flow.unreached, *flow.errors) if row.ended >= to_microseconds(began)]
        return bad, flow.counts["answered"]

    def close(self) -> list[str]:
        left = []
        try:
            self.flow.stop(deadline=Deadline("users leave", 15.0))
        except CakraviaError as error:
            left.append(str(error))
            self.flow.kill()
        return [*left, *self.shop.tear_down()]


def _ill(site: Site, running: list[Slot]) -> tuple[str, ...]:
    """What is not healthy and stays so: on a busy machine a single answer may come too late."""
    patience = Deadline("slots are healthy", 5.0)
    while True:
        bad = tuple(str(r) for slot in running for r in site.readings(slot) if not r.is_healthy)
        if not bad or patience.is_over:
            return bad
        patience.clock.sleep(0.2)


def strays(shop: Shop, site: Site) -> list[str]:
    """Processes of the site that belong to neither slot nor proxy as these are known, or that exist twice."""
    found, masters = [], 0
    known = {int(slot.identity.partition("@")[0]): slot for colour in Colour if (slot := site.platform.observe(colour))}
    for process in shop.processes():
        try:
            line, family = " ".join(process.cmdline()), {process.pid, *(p.pid for p in process.parents())}
        except psutil.Error:
            continue
        masters += "nginx: master" in line
        if "nginx" not in line and not family & set(known):
            found.append(f"{process.pid}: {line[:120]}")
    return found + ([] if masters == 1 else [f"{masters} masters of nginx"])


class Lanes:
    """Plays cells in the order they are submitted, each on the first free site."""

    def __init__(self, folder: Path, *, machine: Machine) -> None:
        self._folder = folder
        self._machine = machine
        self._pool = ThreadPoolExecutor(LANES)
        self._free: queue.SimpleQueue[Lane] = queue.SimpleQueue()
        self._lanes: list[Lane] = []
        self._futures: dict[str, Future[Told]] = {}
        self._guard = threading.Lock()

    def submit(self, cells: Iterable[Cell]) -> None:
        for cell in cells:
            if str(cell) not in self._futures:
                self._futures[str(cell)] = self._pool.submit(self._play, cell)

    def told(self, cell: Cell) -> Told:
        self.submit([cell])
        return self._futures[str(cell)].result(3600)

    def _play(self, cell: Cell) -> Told:
        with self._machine.used():
            return self._play_on_a_site(cell)

    def _play_on_a_site(self, cell: Cell) -> Told:
        try:
            lane = self._free.get_nowait()
        except queue.Empty:
            with self._guard:
                number = len(self._lanes) + self._free.qsize()
                folder = self._folder / f"lane-{number}-{threading.get_ident() % 10_000}"
            lane = Lane(folder)
            with self._guard:
                self._lanes.append(lane)
        try:
            return lane.play(cell)
        finally:
            self._free.put(lane)

    def close(self) -> list[str]:
        """What the lanes left running, killed now."""
        self._pool.shutdown(cancel_futures=True)
        with ThreadPoolExecutor(LANES) as pool:
            return [line for left in pool.map(Lane.close, self._lanes) for line in left]


def _verdict(report: Path) -> Mapping[str, Any]:
    import json

    path = report / "verdict.json"
    told: Mapping[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return told
