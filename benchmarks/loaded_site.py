"""A throw-away site with two warm slots, and traffic flowing through it at a planned rate."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.switching_run import Shuttle
from benchmarks.throwaway_site import throwaway_site
from cakravia_verify.settings.loading import load_settings
from cakravia_verify.site.assembly import open_site
from cakravia_verify.system.clock import SYSTEM_CLOCK, Deadline
from cakravia_verify.traffic.plan.from_settings import headers_of, plan_of
from cakravia_verify.traffic.run import TrafficRun

USERS = 50


@contextmanager
def loaded_site(run: str, *, rate: float, processes: int, profile: str, mix: str = "") -> Iterator[TrafficRun]:
    """Traffic of requests per second that has begun; nothing of it or the site is left. `mix` is added to the site's
    settings as it is."""
    traffic = {"users": USERS, "rate": rate, "round_trip": 0.0, "profile": profile, "processes": processes}
    with (
        throwaway_site({"traffic": traffic, "proxy": {"workers": 1}}) as made,
        tempfile.TemporaryDirectory() as folder,
    ):
        made.settings.write_text(made.settings.read_text() + mix)
        settings = load_settings(made.settings, environment={})
        site = open_site(settings)
        shuttle = Shuttle(site)
        shuttle.deploy()
        shuttle.deploy()
        plan = plan_of(
            settings.traffic,
            address=site.proxy.address,
            folder=Path(folder),
            run=run,
            headers=headers_of(settings),
            root=settings.root,
        )
        flow = TrafficRun(plan, clock=SYSTEM_CLOCK)
        try:
            flow.start(deadline=Deadline("the traffic flows", 30), requests=100)
            yield flow
        finally:
            flow.kill()


def failures_of(flow: TrafficRun) -> int:
    """How many requests were lost, answered with an error, or never sent."""
    return len(flow.lost) + len(flow.errors) + len(flow.unreached)
