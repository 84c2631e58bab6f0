"""Any sequence of releases, rollbacks, deaths, recoveries and accidents on a real site leaves users served.

The machine of tests/core does this in memory, with every fault that can be thought of. This one is shorter and real:
nginx, slots, Locust, processes that are killed. By default it plays a few sequences, the same ones in every run;
CAKRAVIA_TEST_SLOW=1 plays many, and new ones every time.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from cakravia_verify.history.releases import unfinished
from cakravia_verify.platforms.process.nginx_processes import is_alive
from cakravia_verify.settings.loading import load_settings
from cakravia_verify.site.assembly import open_site
from cakravia_verify.site.site import Site
from cakravia_verify.slots import Colour
from cakravia_verify.system.clock import Deadline
from tests.plugin.sessions.shop import REPOSITORY, Shop, wait_for

# Of the first few hundred seeds one whose few sequences have every command and every accident in them.
MANY_SIDED = 270
IS_LONG = bool(os.environ.get("CAKRAVIA_TEST_SLOW"))
# Short, for this is about what follows upon what, not about how much a release proves.
QUICK = {
    "release.bake": 0.2,
    "release.drain_minimum": 0.05,
    "release.confirmations": 2,
    "release.retain": 2,
    "health.interval": 0.05,
    "health.deadline": 3.0,
    "budget.min_requests": 15,
    "budget.min_each": 0,
    "budget.min_rate_held": 0.5,
    "traffic.rate": 80,
    "traffic.users": 8,
}
ILL = ("wrong-version:v0.0.0", "errors:1", "no-start")
ENDED_WELL = ("promoted", "rolled back", "recovered")
# A release tells of about 26 moments. None: it lives. (0, s): it dies s seconds after its start.
DEATHS = st.one_of(
    st.none(),
    st.tuples(st.integers(1, 26), st.sampled_from((0.0, 0.0, 0.01, 0.1))),
    st.tuples(st.just(0), st.floats(0.05, 2.0)),
)


@dataclass(frozen=True)
class Look:
    """What users and the slots said at one moment, in CLOCK_MONOTONIC seconds."""

    at: float
    users: str
    healthy: frozenset[Colour]


@dataclass
class Onlooker:
    """Asks for a page as users do, and both slots for their health, all the time."""

    ports: dict[Colour, int]
    users: int
    looks: list[Look] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        self._thread = threading.Thread(target=self._look_on, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join(10)

    def since(self, at: float) -> list[Look]:
        """Looks that began after `at`, once there is one that began after this call."""
        now = time.monotonic()
        while self._thread.is_alive() and not (self.looks and self.looks[-1].at > now):
            time.sleep(0.01)
        return [look for look in self.looks if look.at > at]

    def _look_on(self) -> None:
        while not self._over.wait(0.03):
            at = time.monotonic()
            healthy = frozenset(c for c, port in self.ports.items() if _asked(port, "/api/health/ready") == "")
            self.looks.append(Look(at, _asked(self.users, "/"), healthy))


def _asked(port: int, path: str) -> str:
    """What was wrong with the answer, '' where it was good."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        return "" if answer.status == 200 else f"status {answer.status}"
    except (OSError, http.client.HTTPException) as error:
        return repr(error)
    finally:
        connection.close()


class Ground:
    """A site for all sequences: each begins where the one before ended, as in life."""

    def __init__(self, folder: Path) -> None:
        self.shop = Shop(folder)
        self.commands = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("releasing.py")), str(self.shop.settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=self.shop.folder,
            env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
            text=True,
        )
        self.onlooker = Onlooker({Colour.BLUE: self.shop.blue, Colour.GREEN: self.shop.green}, self.shop.users)
        self.versions = count(1)

    def perform(self, commands: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """How commands ended that begin at the same instant."""
        assert self.commands.stdin
        assert self.commands.stdout
        self.commands.stdin.write(json.dumps(commands) + "\n")
        self.commands.stdin.flush()
        told: list[dict[str, Any]] = json.loads(self.commands.stdout.readline())
        return told

    def close(self) -> list[str]:
        """What was left running, killed now."""
        self.onlooker.stop()
        assert self.commands.stdin
        assert self.commands.stdout
        self.commands.stdin.close()
        self.commands.wait(30)
        self.commands.stdout.close()
        self.shop.traffic_left()
        return self.shop.tear_down()


class SiteMachine(RuleBasedStateMachine):
    """Users count as owed while a healthy slot answers them; an accident that takes it away forgives that until the
    next command has ended well."""

    def __init__(self, ground: Ground) -> None:
        super().__init__()
        self.ground, self.shop, self.onlooker = ground, ground.shop, ground.onlooker
        self.history = b""
        self.told: list[dict[str, Any]] = []
        print("\nA sequence:")

    @initialize()
    def a_version_serves_users(self) -> None:
        self.settle()
        if self.owed:
            return
        if not self.site().journal.entries():
            assert self.act(self.command("deploy")) == ["promoted"], self.told
        else:
            assert self.act(self.command("recover")) == ["recovered"], self.told

    def site(self) -> Site:
        return open_site(load_settings(self.shop.settings, environment={}))

    # What people do.

    def command(
        self, kind: str, version: str = "", *, death: tuple[int, float] | None = None, ill: str = ""
    ) -> dict[str, Any]:
        settings = dict(QUICK)
        if kind == "deploy":
            version = f"v{next(self.ground.versions)}"
            if ill:
                settings[f"app.environment.MISBEHAVE_{version}"] = ill  # type: ignore[assignment]
        return {"kind": kind, "version": version, "death": death, "settings": list(settings.items())}

    def act(self, *commands: dict[str, Any]) -> list[str]:
        """How the commands ended, begun at the same instant; users were served meanwhile if that was owed to them."""
        had_a_slot = bool(self.onlooker.since(self.mark)[-1].healthy)
        self.told = self.ground.perform(commands)
        for command, told in zip(commands, self.told, strict=True):
            print(command["kind"], command["version"], command["death"] or "", told["ended"], told.get("why", ""))
        ended = [told["ended"] for told in self.told]
        assert "broke" not in ended, self.told
        self.require_service(commands)
        could_be_served = had_a_slot or "promoted" in ended or "recovered" in ended
        if could_be_served and any(each in ENDED_WELL for each in ended):
            assert self.is_served(), (commands, self.told, self.site().observe())
        return ended

    def require_service(self, what: Sequence[object]) -> None:
        looks = self.onlooker.since(self.mark)
        if self.owed:
            missed = [look for look in looks if look.users]
            assert missed == [], (what, self.told, missed[:3], len(missed))
            assert all(look.healthy for look in looks), (what, self.told)
        self.settle()

    def settle(self) -> None:
        self.owed = self.is_served()
        self.mark = time.monotonic()

    def is_served(self) -> bool:
        return all(_asked(self.shop.users, "/") == "" for _ in range(3))

    @rule(death=DEATHS)
    def deploy(self, death: tuple[int, float] | None) -> None:
        self.act(self.command("deploy", death=death))

    @rule(death=st.one_of(st.none(), DEATHS), ill=st.sampled_from(ILL))
    def deploy_something_bad(self, death: tuple[int, float] | None, ill: str) -> None:
        assert self.act(self.command("deploy", death=death, ill=ill)) != ["promoted"], self.told

    @rule(death=DEATHS)
    def roll_back(self, death: tuple[int, float] | None) -> None:
        self.act(self.command("rollback", death=death))

    @rule(death=st.one_of(st.none(), st.tuples(st.just(0), st.floats(0.0, 0.5))))
    def recover(self, death: tuple[int, float] | None) -> None:
        if self.act(self.command("recover", death=death)) == ["recovered"]:
            drift = self.site().observe().drift
            assert drift == () or "users stay on" in self.told[0]["why"], (drift, self.told)

    @rule()
    def two_releases_at_once(self) -> None:
        self.act(self.command("deploy"), self.command("deploy"))
        held = sorted(told["held"] for told in self.told if "held" in told)
        assert held or "stuck" in {told["ended"] for told in self.told}, self.told
        assert all(before[1] <= after[0] for before, after in pairwise(held)), self.told

    @rule()
    def prune(self) -> None:
        """Somebody frees space: of what no slot runs, little is left to go back to."""
        self.site().platform.prune(keep=(), retain=1)

    # What happens.

    @rule(which=st.sampled_from(("active", "idle")))
    def accident_a_slot_is_killed(self, which: str) -> None:
        slot = getattr(self.site().observe().slots, which)
        if slot is not None:
            self.kill(psutil.Process(int(slot.identity.partition("@")[0])))

    @rule()
    def accident_nginx_is_killed(self) -> None:
        for master in self.shop.nginx():
            self.kill(master)

    @rule(colour=st.sampled_from(Colour))
    def accident_somebody_moves_the_flag(self, colour: Colour) -> None:
        print("users are moved to", colour)
        proxy = self.site().proxy
        if proxy.observe().is_running:
            proxy.point_at(colour, deadline=Deadline("the flag is moved", 5.0))
        self.settle()

    def kill(self, process: psutil.Process) -> None:
        """The process is dead with all that belongs to it, at once."""
        print("killed is", process)
        doomed = [process, *process.children(recursive=True)]
        for each in doomed:
            with contextlib.suppress(psutil.Error):
                each.kill()
        wait_for(lambda: not any(is_alive(each) for each in doomed), seconds=10)
        self.settle()

    # What always holds.

    @invariant()
    def history_only_grows_and_has_no_damage(self) -> None:
        if not self.shop.state.joinpath("deployment-history.log").exists():
            return
        content = self.shop.state.joinpath("deployment-history.log").read_bytes()
        assert content.startswith(self.history)
        self.history = content
        assert self.site().journal.damage() == []

    @invariant()
    def at_most_one_release_is_unfinished(self) -> None:
        assert len(unfinished(self.site().journal.entries())) <= 1

    @invariant()
    def whoever_wrote_held_the_site_then(self) -> None:
        tokens = [entry.token for entry in self.site().journal.entries()]
        assert tokens == sorted(tokens)
        assert self.site().lock.holder() is None


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    made = Ground(tmp_path / "site")
    made.onlooker.start()
    yield made
    assert made.close() == []


@pytest.mark.slow
def test_any_sequence_of_commands_and_accidents_leaves_users_served_and_the_history_whole(ground: Ground) -> None:
    machine: Any = partial(SiteMachine, ground)
    run_state_machine_as_test(
        machine if IS_LONG else seed(MANY_SIDED)(machine),
        settings=settings(
            max_examples=30 if IS_LONG else 5,
            stateful_step_count=12 if IS_LONG else 7,
            derandomize=not IS_LONG,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        ),
    )
