"""Settings that are valid alone but not together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.checks.model import CheckFinding, Ground, SiteCheck, ok, problem, warning


def _find(ground: Ground) -> Iterator[CheckFinding]:
    settings = ground.settings
    health, traffic, proxy = settings.health, settings.traffic, settings.proxy
    least = (health.consecutive - 1) * health.interval
    if least >= health.deadline:
        yield problem(
            f"[health] {health.consecutive} rounds, {health.interval:g} s apart, take {least:g} s",
            needed=f"less than deadline = {health.deadline:g} s: no slot can become healthy in time",
            remedy="raise [health] deadline, or lower consecutive or interval",
        )
    if settings.budget.p99 >= traffic.timeout:
        yield warning(
            f"[budget] p99 = {settings.budget.p99:g} s is not below [traffic] timeout = {traffic.timeout:g} s",
            needed="a limit that an answer can exceed; later answers are lost requests, not slow ones",
            remedy="lower [budget] p99, or raise [traffic] timeout",
        )
    if proxy.connect_timeout >= traffic.timeout:
        yield problem(
            f"[proxy] connect_timeout = {proxy.connect_timeout:g} s is not below [traffic] timeout = "
            f"{traffic.timeout:g} s",
            needed="a proxy that gives up first, so that failover can answer in time",
            remedy="lower [proxy] connect_timeout",
        )
    if settings.app.grace < settings.release.drain_minimum:
        yield problem(
            f"[app] grace = {settings.app.grace:g} s is below [release] drain_minimum = "
            f"{settings.release.drain_minimum:g} s",
            needed="time for requests in flight when a slot is stopped",
            remedy="raise [app] grace to more than the longest request",
        )
    yield ok("no setting contradicts another one")


CHECK: Final = SiteCheck("settings", "The settings fit together", _find)
