"""One measured run: a throw-away site under strict traffic, moved to and fro between its slots, and what that cost.

Users are moved by the steps of a release, in a round of four switches: back to the warm version (a manual rollback),
forth to a freshly started candidate that fails afterwards (two switches: there, and back by the automatic rollback,
which stops the candidate), and forth to a freshly started candidate that stays.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from benchmarks.switching_result import Result, Task, measured
from benchmarks.throwaway_site import throwaway_site
from cakravia_verify.errors import TrafficError
from cakravia_verify.history.releases import PROMOTED, ROLLED_BACK
from cakravia_verify.release.machine import Release
from cakravia_verify.release.planning import planned
from cakravia_verify.release.steps import STEPS
from cakravia_verify.settings.loading import load_settings
from cakravia_verify.site.assembly import open_site
from cakravia_verify.site.site import Site
from cakravia_verify.slots import Artifact, Colour
from cakravia_verify.system.clock import Deadline
from cakravia_verify.traffic.ledger.ledger import Ledger
from cakravia_verify.traffic.plan.from_settings import headers_of, plan_of
from cakravia_verify.traffic.process import TrafficSummary
from cakravia_verify.traffic.records.rows import EVENTS_FILE, REQUESTS_FILE, SUMMARY_FILE
from cakravia_verify.traffic.run import TrafficRun

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cakravia_verify.proxy.protocol import Switchover

RUN = "switchover"
BEFORE_AND_AFTER = 1.0


class Shuttle:
    """Takes a site's users from slot to slot, each time by a release of its own; `flips` are the moves so far."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.switchovers: list[Switchover] = []
        self.cold_starts = 0
        self._artifacts: dict[str, Artifact] = {}
        self._number = 0

    def move(self, count: int) -> Iterator[None]:
        """Moves users `count` times; yields after each release."""
        so_far = len(self.switchovers)
        rounds = (self.bring_back, self.deploy_and_fail, self.deploy)
        while (left := count - (len(self.switchovers) - so_far)) > 0:
            for release in rounds:
                if release != self.deploy_and_fail or left >= 2:
                    release()
                    yield
                if (left := count - (len(self.switchovers) - so_far)) <= 0:
                    break

    def deploy(self) -> None:
        """A version is freshly started in the idle slot and has all users; the one before is warm."""
        self._forward("deploy", is_warm=False).finish(PROMOTED)

    def deploy_and_fail(self) -> None:
        """A version was freshly started, had all users and was rolled back; it is stopped."""
        release = self._forward("deploy", is_warm=False, until="bake")
        before = len(release.facts.switchovers)
        release.roll_back("the benchmark says so")
        self.switchovers += release.facts.switchovers[before:]
        release.finish(ROLLED_BACK)

    def bring_back(self) -> None:
        """The warm version before has all users again."""
        self._forward("rollback", is_warm=True).finish(PROMOTED)

    def _forward(self, kind: str, *, is_warm: bool, until: str = "cleanup") -> Release:
        state = self.site.observe()
        active, idle = state.active, state.slots.idle
        is_warm = is_warm and idle is not None
        if is_warm and idle is not None:
            version = idle.version
        else:
            version = "v1.1.0" if active is None or active.version != "v1.1.0" else "v1.2.0"
        self._number += 1
        self.cold_starts += not is_warm
        target = self._artifacts.get(version)
        release_id = f"release-{self._number}"
        warm = target if is_warm else None
        intent = planned(self.site, state, release=release_id, kind=kind, version=version, target=warm)
        release = Release(self.site, intent, STEPS, target=target)
        release.start()
        try:
            release.advance(until)
        finally:
            self.switchovers += release.facts.switchovers
        if release.facts.artifact:
            self._artifacts[version] = release.facts.artifact
        return release


def run(task: Task, *, keep: Path | None = None) -> Result:
    """Users were moved `task.switches` times under traffic, and every request is accounted for."""
    settings: dict[str, dict[str, Any]] = {
        "proxy": {"switch": task.way, "nginx": task.nginx} | ({"keepalive_min": 0} if task.way == "reload" else {}),
        "health": {"interval": 0.05},
        "release": {"bake": 0},
        "traffic": {"users": task.users, "rate": task.rate, "round_trip": task.round_trip},
    }
    with throwaway_site(settings, keep=keep) as made:
        site = open_site(load_settings(made.settings, environment={}))
        site.proxy.check()
        return move_users(site, task, folder=made.folder / "traffic")


def move_users(site: Site, task: Task, *, folder: Path) -> Result:
    """Move the users of this site `task.switches` times under traffic. Returns what every request saw of it."""
    site.platform.check()
    shuttle = Shuttle(site)
    shuttle.deploy()
    shuttle.deploy()
    shuttle.switchovers.clear()
    shuttle.cold_starts = 0
    site.fetch_logs()
    summary = _under_traffic(site, shuttle, task, folder)
    site.fetch_logs()
    executed_twice = _executed_twice(site)
    with _ledger(site, folder) as ledger:
        return measured(
            task,
            ledger,
            site=site,
            switchovers=shuttle.switchovers,
            cold_starts=shuttle.cold_starts,
            summary=summary,
            executed_twice=executed_twice,
        )


def _under_traffic(site: Site, shuttle: Shuttle, task: Task, folder: Path) -> TrafficSummary:
    plan = plan_of(
        site.settings.traffic,
        address=site.proxy.address,
        folder=folder,
        run=RUN,
        headers=headers_of(site.settings),
        root=site.settings.root,
    )
    traffic = TrafficRun(replace(plan, html_report=False), clock=site.clock)
    try:
        traffic.start(deadline=Deadline("traffic flows", 30), requests=task.users)
        site.clock.sleep(BEFORE_AND_AFTER)
        for _ in shuttle.move(task.switches):
            traffic.ensure_alive()
        site.clock.sleep(BEFORE_AND_AFTER)
        return traffic.stop(deadline=Deadline("traffic stops", plan.longest_timeout + 5))
    finally:
        traffic.kill()


def _executed_twice(site: Site) -> int:
    """Orders that the application's own store says it executed more than once; asked of the site itself."""
    answer = site.prober.request(site.proxy.address, "GET", "/api/orders")
    if answer.status_code != 200:
        raise TrafficError(f"the order store does not tell: {answer.problem or answer.status_code}")
    told = json.loads(answer.body)
    return int(told["executions"]) - int(told["orders"])


def _ledger(site: Site, folder: Path) -> Ledger:
    logs = [log for colour in Colour if (log := site.platform.request_log(colour)) is not None and log.exists()]
    return Ledger.build(
        folder,
        requests=folder / REQUESTS_FILE,
        access_log=site.proxy.access_log,
        application_logs=logs,
        events=folder / EVENTS_FILE,
        traffic=folder / SUMMARY_FILE,
        run=RUN,
    )
