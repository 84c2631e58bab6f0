"""Scenarios in lanes: a few sites, each with a version that serves users, and sessions that run on them side by side.

A session is mostly waiting. Three at a time use two cores well and keep the whole corpus within minutes.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from _pytest.mark.structures import ParameterSet

from cakravia_verify.site.site import SiteState
from tests.plugin.sessions.shop import Ended, Shop, Witness
from tests.tiers import Machine

LANES = (os.cpu_count() or 1) + 1
HOME = "v1.0.0"


@dataclass(frozen=True)
class Scenario:
    """One session on a site whose users are on a good version.

    `misbehave` is the seeded misbehaviour of the version released; `sabotage` what is done meanwhile (sabotage.py);
    `arguments` more of the command line. A `rollback` goes to a version that is retained and runs nowhere. `session`
    replaces the whole command where it is neither. `is_spoiling` says that the site is of no use to anybody afterwards.
    A `slow` scenario makes a point that another one makes too; a `check` scenario runs for every pull request.
    """

    name: str
    arguments: tuple[str, ...] = ()
    misbehave: str = ""
    sabotage: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    session: Callable[[Shop, str], Ended] | None = None
    kind: str = "deploy"
    is_spoiling: bool = False
    follow_up: tuple[str, ...] = ()
    statuses: tuple[int, ...] = ()
    slow: bool = False
    check: bool = False

    def __str__(self) -> str:
        return self.name


def each(*scenarios: Scenario) -> list[ParameterSet]:
    """Return scenarios as parameters of a test, each under its name and with the marks of its tier."""
    return [pytest.param(one, id=one.name, marks=_marks(one)) for one in scenarios]


def _marks(scenario: Scenario) -> list[pytest.MarkDecorator]:
    marks = {"slow": scenario.slow, "check": scenario.check}
    return [getattr(pytest.mark, name) for name, has_it in marks.items() if has_it]


@dataclass(frozen=True)
class Seen:
    """What a scenario left behind. `before` and `after` are (serving version, identity of its process)."""

    scenario: Scenario
    version: str
    ended: Ended
    verdict: Mapping[str, Any]
    before: tuple[str, str]
    after: tuple[str, str]
    state: SiteState
    history: tuple[Mapping[str, Any], ...]
    traffic_left: int
    performed: tuple[str, ...]
    signalled_for: float | None
    witnessed: tuple[str, ...]
    answers: int
    recovered: Ended | None
    report: frozenset[str]

    @property
    def told(self) -> str:
        return f"exit status {self.ended.status}\n{self.ended.output[-6000:]}"

    @property
    def running(self) -> set[str]:
        """The versions in the slots."""
        return {slot.version for slot in (self.state.slots.blue, self.state.slots.green) if slot}

    @property
    def outcome(self) -> str:
        finished = [entry for entry in self.history if entry["event"] == "release.finished"]
        return str(finished[-1]["outcome"]) if finished else ""


class Lanes:
    """Runs scenarios in the order they are submitted, each on the first free site."""

    def __init__(self, folder: Path, *, machine: Machine) -> None:
        self._folder = folder
        self._machine = machine
        self._pool = ThreadPoolExecutor(LANES)
        self._free: queue.SimpleQueue[Shop] = queue.SimpleQueue()
        self._futures: dict[str, Future[Seen]] = {}
        self._shops: list[Shop] = []
        self._numbers = iter(range(10_000))
        self._guard = threading.Lock()

    def submit(self, scenarios: Iterable[Scenario]) -> None:
        for scenario in scenarios:
            if scenario.name not in self._futures:
                self._futures[scenario.name] = self._pool.submit(self._play, scenario)

    def seen(self, scenario: Scenario) -> Seen:
        self.submit([scenario])
        return self._futures[scenario.name].result(1800)

    def close(self) -> list[str]:
        """What the sites left running, killed now."""
        self._pool.shutdown(cancel_futures=True)
        with ThreadPoolExecutor(LANES) as pool:
            return [line for left in pool.map(Shop.tear_down, self._shops) for line in left]

    def _play(self, scenario: Scenario) -> Seen:
        with self._machine.used():
            return self._play_on_a_site(scenario)

    def _play_on_a_site(self, scenario: Scenario) -> Seen:
        shop = self._free_shop()
        seen = play(shop, scenario, number=self._number())
        # A site that is not as it was would blame the next scenario for this one.
        if scenario.is_spoiling or seen.after[0] != seen.before[0] or seen.after[1] != seen.before[1]:
            shop.tear_down()
        else:
            self._free.put(shop)
        return seen

    def _number(self) -> int:
        with self._guard:
            return next(self._numbers)

    def _free_shop(self) -> Shop:
        try:
            return self._free.get_nowait()
        except queue.Empty:
            return self._new_shop()

    def _new_shop(self) -> Shop:
        shop = Shop(self._folder / f"shop-{self._number():03d}")
        with self._guard:
            self._shops.append(shop)
        first = shop.deploy(HOME, "--bake", "0.1", "--set", "budget.min_requests=1", "--set", "budget.min_each=0")
        assert first.status == 0, first.output
        return shop


def play(shop: Shop, scenario: Scenario, *, number: int) -> Seen:
    """The scenario's session, run on this site, and everything it left behind."""
    version = f"v2.{number}.0-{scenario.name}"[:60]
    (shop.folder / "sabotaged").unlink(missing_ok=True)
    (shop.folder / "signalled-at").unlink(missing_ok=True)
    before, known = _active(shop), len(shop.history())
    environment = dict(scenario.environment)
    arguments = list(scenario.arguments)
    if scenario.misbehave:
        key = "MISBEHAVE_" + "".join(letter if letter.isalnum() else "_" for letter in version)
        arguments += ["--set", f'app.environment.{key}="{scenario.misbehave}"']
    if scenario.sabotage:
        environment["CAKRAVIA_TEST_SABOTAGE"] = scenario.sabotage
        arguments += ["-p", "sabotage"]
    if scenario.kind == "rollback":
        shop.retain(version)
    with Witness(shop.users) as witness:
        if scenario.session is not None:
            ended = scenario.session(shop, version)
        else:
            ended = shop.release(scenario.kind, version, *arguments, environment=environment)
        traffic_left = shop.traffic_left()
    signalled = shop.folder / "signalled-at"
    shop.mend_history()
    recovered = shop.cakravia(*scenario.follow_up) if scenario.follow_up else None
    done = shop.folder / "sabotaged"
    verdict = shop.verdict_of(version)
    return Seen(
        scenario=scenario,
        version=version,
        ended=ended,
        verdict=verdict,
        before=before,
        after=_active(shop),
        state=shop.observe(),
        history=tuple(shop.history()[known:]),
        traffic_left=traffic_left,
        performed=tuple(done.read_text().split()) if done.exists() else (),
        signalled_for=ended.at - float(signalled.read_text()) if signalled.exists() else None,
        witnessed=tuple(witness.failures),
        answers=len(witness.answers),
        recovered=recovered,
        report=frozenset(path.name for path in shop.latest().iterdir()) if shop.latest().is_dir() else frozenset(),
    )


def _active(shop: Shop) -> tuple[str, str]:
    """(version that serves users, identity of its process), as the site itself answers."""
    active = shop.observe().active
    return shop.serving(), active.identity if active else ""
