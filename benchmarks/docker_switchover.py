"""What moving all users between two containers costs them, and what a release on Docker takes.

    python benchmarks/docker_switchover.py [--switches 50] [--rate 500] [--users 60] [--round-trip 0] [--keep FOLDER]

A throw-away site on the engine that DOCKER_HOST names is put under strict traffic through the proxy's published port
and moved to and fro by the steps of a release; client, proxy and application are compared request by request. Then a
second release with a cached image is made as an operator makes it, and timed. Base images come from
CAKRAVIA_TEST_PYTHON_BASE and CAKRAVIA_TEST_NGINX_BASE (default: what .ci/provide-base-images makes).

Exit status: 0 when every bar is met; 1 when a request was lost, ran twice or was misled; 3 when only a bar of speed
was missed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.switching_result import Result, Task
from benchmarks.switching_run import move_users
from benchmarks.throwaway_site import SMOKE, throwaway_site
from cakravia_verify.platforms.docker.engine.engine import Engine
from cakravia_verify.platforms.docker.leftovers import clear_engine
from cakravia_verify.settings.loading import load_settings
from cakravia_verify.site.assembly import open_site
from cakravia_verify.site.site import Site
from cakravia_verify.system.clock import Deadline, poll
from cakravia_verify.testing.throwaway_site import REPOSITORY, ThrowawaySite

RATE_BAR, OVERHEAD_BAR, RELEASE_BAR, HELD_BAR = 500.0, 3.0, 20.0, 0.99
BAKE = 2.0


@contextlib.contextmanager
def docker_site(task: Task, keep: Path | None) -> Iterator[ThrowawaySite]:
    """A site that no other one shares its names with; nothing of it is left in the engine."""
    name = f"bench{uuid.uuid4().hex[:8]}"
    base = os.environ.get("CAKRAVIA_TEST_PYTHON_BASE", "cakravia-base/python")
    proxy_base = os.environ.get("CAKRAVIA_TEST_NGINX_BASE", "cakravia-base/nginx")
    settings: dict[str, dict[str, Any]] = {
        "site": {"name": name, "platform": "docker"},
        "proxy": {"listen": "127.0.0.1:$users"},
        "health": {"interval": 0.05},
        "docker": {
            "context": str(REPOSITORY / "examples" / "reference_app"),
            "build_args": {"BASE": base, "APP_VERSION": "{version}"},
            "proxy_build_args": {"BASE": proxy_base},
        },
        "release": {"bake": 0.0, "smoke": SMOKE},
        "traffic": {"users": task.users, "rate": float(task.rate), "round_trip": float(task.round_trip)},
    }
    with throwaway_site(settings, defaults={}, keep=keep) as site:
        try:
            yield site
        finally:
            clear_engine(Engine().client, name)


def start_overhead(site: Site) -> tuple[float, float]:
    """Seconds from asking for a slot to its first healthy answer, and what bare `docker start` of the same takes."""
    state = site.observe()
    idle = state.slots.idle_colour
    artifact = site.platform.retained()[0]
    site.platform.stop(idle, deadline=Deadline("the slot stops", 30))
    began = time.monotonic()
    slot = site.platform.start(idle, artifact, release="overhead", deadline=Deadline("the slot starts", 30))
    _until_healthy(site, lambda: all(reading.is_healthy for reading in site.readings(slot)))
    ours = time.monotonic() - began
    container = Engine().client.containers.get(f"{site.settings.site.name}-app-{idle}")
    container.stop(timeout=30)
    began = time.monotonic()
    container.start()
    _until_healthy(site, lambda: all(reading.is_healthy for reading in site.readings(slot)))
    return ours, time.monotonic() - began


def _until_healthy(site: Site, question: Any) -> None:
    poll(question, deadline=Deadline("the slot is healthy", 30), every=0.01)


def second_release(made: ThrowawaySite) -> float:
    """Seconds for a whole `pytest suites/deploy` of a version whose layers are cached, its bake taken off."""
    ended = made.deploy("v2.0.0", "-q", "--bake", str(BAKE), "--rate", "200")
    if ended.status != 0:
        raise SystemExit(f"the second release failed:\n{ended.output}")
    return ended.seconds - BAKE


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--switches", type=int, default=50)
    parser.add_argument("--rate", type=float, default=RATE_BAR)
    parser.add_argument("--users", type=int, default=60)
    parser.add_argument("--round-trip", type=float, default=0.0)
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args()
    if Engine().is_remote:
        parser.error("instants of client and application are compared: this needs an engine of this machine")
    task = Task("flag", asked.switches, asked.rate, asked.users, asked.round_trip)
    with docker_site(task, asked.keep) as made:
        site = open_site(load_settings(made.settings, environment={}))
        result = move_users(site, task, folder=made.folder / "traffic")
        ours, bare = start_overhead(site)
        release = second_release(made)
    return _report(result, overhead=ours - bare, started=ours, release=release)


def _report(result: Result, *, overhead: float, started: float, release: float) -> int:
    task = result.task
    print(
        f"{result.switches} switches ({result.cold_starts} with a new container) in {result.seconds:g} s, "
        f"{task.rate:g} requests/s planned, {result.share_held:.1%} held, {task.round_trip * 1000:g} ms round trip\n"
        f"  sent          {result.sent:,}, {result.bodies_sent:,} of them POST or PUT\n"
        f"  lost          {result.lost_in_words}; {result.unreached} unreached, {result.errors} error answers\n"
        f"  duplicated    {result.duplicated} by the application's log, {result.executed_twice} by its order store; "
        f"{result.masked} masked\n"
        f"  fence         {result.fence_violations} violations, {result.straddling} straddling\n"
        f"  switch        {_three(result.flip)} ms (median, p99, max)\n"
        f"  first answer  {_three(result.first_new)} ms after the decision\n"
        f"  latency       {_three(result.latency)} ms\n"
        f"  slot start    {started:.2f} s until healthy, {overhead:.2f} s of it ours\n"
        f"  release       {release:.1f} s from end to end with a cached image, without its bake"
    )
    for finding in result.findings:
        print(f"  finding       {finding}")
    for row in result.lost_rows[:10]:
        print(f"  lost row      {json.dumps(row, default=str)}")
    bars = {
        "nobody lost anything, nothing ran twice, nobody was misled": result.is_whole,
        f"{task.switches} switches": result.switches >= task.switches,
        f"at least {HELD_BAR:.0%} of {RATE_BAR:g} requests/s": task.rate >= RATE_BAR and result.share_held >= HELD_BAR,
        f"starting a slot adds no more than {OVERHEAD_BAR:g} s": overhead <= OVERHEAD_BAR,
        f"a second release takes no more than {RELEASE_BAR:g} s and its bake": release <= RELEASE_BAR,
    }
    for what, is_met in bars.items():
        print(f"  {'met' if is_met else 'MISSED':<7} {what}")
    if not result.is_whole:
        return 1
    return 0 if all(bars.values()) else 3


def _three(values: tuple[float, float, float]) -> str:
    return " / ".join(f"{value:.2f}" for value in values)


if __name__ == "__main__":
    sys.exit(main())
