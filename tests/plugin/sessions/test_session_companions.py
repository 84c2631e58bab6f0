"""A real worker beside the slots moves with real releases, and never runs twice."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable

import pytest

from tests.plugin.sessions.shop import SUITES, Shop

# Holds a file that only one process can create, as a worker holds its queue; a second one says so and goes on.
WORK = """
import os, pathlib, signal, sys, time
place, version = pathlib.Path(sys.argv[1]), os.environ["APP_VERSION"]
log = place.with_suffix(".log").open("a", buffering=1)
if os.environ.get("ENDS_AS") == version:
    sys.exit("the queue does not know " + version)
try:
    held = os.open(place, os.O_CREAT | os.O_EXCL)
except FileExistsError:
    log.write("two at once\\n")
def end(*_):
    log.write(version + " ends\\n")
    time.sleep(0.3)
    place.unlink(missing_ok=True)
    os._exit(0)
signal.signal(signal.SIGTERM, end)
log.write(version + " works\\n")
while True: time.sleep(1)
"""


class Working:
    """A shop with a worker that writes what it does."""

    def __init__(self, shop: Shop, *, ends_as: str = "") -> None:
        self.shop = shop
        self.log = shop.folder / "held.log"
        command = json.dumps([sys.executable, "-c", WORK, str(shop.folder / "held")])
        table = f'[[companions]]\nname = "worker"\ncommand = {command}\nsettle = 1.0\ngrace = 5.0\n'
        table += f'environment = {{ ENDS_AS = "{ends_as}" }}\n'
        shop.settings.write_text(f"{shop.settings.read_text()}\n{table}")

    @property
    def lines(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    @property
    def running(self) -> dict[str, str]:
        told: dict[str, str] = self.shop.status()["companions"]
        return told


def test_a_worker_moves_with_releases_rollbacks_down_and_up(new_shop: Callable[..., Shop]) -> None:
    working = Working(new_shop())
    shop = working.shop
    for version in ("v1", "v2"):
        ended = shop.deploy(version)
        assert ended.status == 0, ended.output
    assert working.running == {"worker": "v2"}
    assert "companions of v2: worker" in ended.output
    ended = shop.roll_back("--reason", "a test")
    assert ended.status == 0, ended.output
    assert working.running == {"worker": "v1"}
    assert shop.verdict()["evidence"]["measured"]["lost"] == 0
    assert "worker (v1)" in shop.cakravia("down").output
    assert working.running == {}
    assert "companion worker (v1) was started" in shop.cakravia("up").output
    works = [line for line in working.lines if line.endswith("works")]
    assert works == [f"{version} works" for version in ("v1", "v2", "v1", "v1")]
    assert "two at once" not in working.lines
    assert shop.cakravia("logs", "worker").status == 0
    assert "not one of blue, green, proxy, worker" in shop.cakravia("logs", "clock").output


@pytest.mark.slow  # tests/release/test_companions.py shows the same in memory
def test_a_worker_that_ends_at_once_stops_its_release_and_one_that_died_is_started(
    new_shop: Callable[..., Shop],
) -> None:
    working = Working(new_shop(), ends_as="v2")
    shop = working.shop
    assert shop.deploy("v1").status == 0
    ended = shop.deploy("v2")
    assert ended.status == 1, ended.output
    assert "companion worker of v2 ended within 1 s of its start" in ended.output
    assert "its last lines: the queue does not know v2" in ended.output
    assert (shop.serving(), working.running) == ("v1", {"worker": "v1"})
    os.kill(pid_of(shop), signal.SIGKILL)
    (shop.folder / "held").unlink()
    assert "companion worker does not run" in shop.cakravia("status").output
    ended = shop.cakravia("recover")
    assert ended.status == 0, ended.output
    assert working.running == {"worker": "v1"}
    assert "two at once" not in working.lines


def pid_of(shop: Shop) -> int:
    record = json.loads((shop.state / "companions" / "worker" / "companion.json").read_text())
    return int(str(record["identity"]).partition("@")[0])


@pytest.mark.slow  # tests/release/test_companions.py kills at every point, in memory
def test_a_release_killed_between_two_workers_is_finished_with_one(new_shop: Callable[..., Shop]) -> None:
    working = Working(new_shop())
    shop = working.shop
    assert shop.deploy("v1").status == 0
    running = shop.begin_pytest(str(SUITES / "deploy"), *shop.site, "--version", "v2")
    deadline = time.monotonic() + 60
    while "v1 ends" not in working.lines and time.monotonic() < deadline:
        time.sleep(0.01)
    running.process.kill()
    running.wait()
    ended = shop.cakravia("recover")
    assert ended.status == 0, ended.output
    assert (shop.serving(), working.running) == ("v2", {"worker": "v2"})
    assert "two at once" not in working.lines
