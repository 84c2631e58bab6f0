"""A snapshot of a site with a past: releases, lost requests, open alerts, resources near their limits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

from cakravia_verify.monitor.web.snapshot import (
    AlertRow,
    BurnWindow,
    Day,
    ErrorBudget,
    EventRow,
    Headline,
    HealthCell,
    HealthRow,
    Lanes,
    LatencyPoint,
    MeasuredTraffic,
    MonitorHealth,
    ReleaseRow,
    RequestWindow,
    ResourceUse,
    RollbackReadiness,
    SilenceRow,
    Snapshot,
    SourceRow,
    Standing,
    StepEnd,
    StepSpan,
    Stretch,
    Switch,
    WaitingRow,
)

NOW = 1_764_432_000.0
HOUR, DAY = 3600.0, 86_400.0
ENDPOINTS = ("health", "ready", "live", "status")
STEPS = ("build", "prepare", "stage", "prove", "smoke", "switch", "confirm", "drain", "bake", "promote", "cleanup")
T = TypeVar("T")


def busy(*, alerts: int = 2, releases: int = 8) -> Snapshot:
    """Everything that the page can show, as full as its bounds permit."""
    rows = tuple(release(number) for number in range(releases))
    return Snapshot(
        site="shop",
        at=NOW,
        every=5.0,
        headline=Headline(Standing.BAD, "Users get v1.12.0 from green", f"{alerts} open alerts: active-slot, disk."),
        active="green",
        version="v1.12.0",
        purpose="",
        alerts=tuple(alert(number, is_open=number < alerts) for number in range(18)),
        silences=(SilenceRow(3, "idle-slot", NOW + HOUR, "moving the disk", "maria"),),
        events=tuple(EventRow(NOW - number * 900, "site", "fired", "users: ready: status 503") for number in range(20)),
        lanes=lanes(),
        releases=rows,
        rollback=RollbackReadiness(NOW - 60, True, "v1.11.0", 0.41, "3 rollbacks", 'cakravia rollback --reason "..."'),
        health=tuple(health(target) for target in ("users", "tls", "outside", "blue", "green")),
        latency=tuple(
            LatencyPoint(NOW - (120 - each) * 60, 0.004 + 0.001 * math.sin(each / 9), 0.02, 3 * (each == 70))
            for each in range(120)
        ),
        usages=(
            ResourceUse("green v1.12.0 memory", 480 * 2**20, 512 * 2**20, "bytes", Standing.WARNING, ""),
            ResourceUse("green v1.12.0 CPU", 0.21, None, "cores", Standing.GOOD, ""),
            ResourceUse("blue v1.11.0 memory", 200 * 2**20, 512 * 2**20, "bytes", Standing.GOOD, ""),
            ResourceUse("machine load", 1.5, 2.0, "cores", Standing.GOOD, ""),
            ResourceUse("disk /srv", 0.93, 1.0, "share", Standing.WARNING, ""),
            ResourceUse("certificate", 61.2, None, "days", Standing.GOOD, "left"),
        ),
        budget=ErrorBudget(
            0.999, 30, "requests of users", 312, 1_204_411, 0.259, (BurnWindow(300, 0, 410), BurnWindow(3600, 3, 5011))
        ),
        days=tuple(
            Day(NOW - (29 - each) * DAY, None if each < 3 else 0.97 if each == 20 else 0.9995 if each == 9 else 1.0)
            for each in range(30)
        ),
        drift=("the history says that blue serves users, but green does",),
        drift_at=NOW - 20,
        monitor=MonitorHealth(
            "0.3.0",
            NOW - 3 * DAY,
            "",
            0,
            42_000_000,
            (
                *(SourceRow(name, Standing.GOOD, None, "") for name in ("users", "blue", "green", "release", "drift")),
                SourceRow("platform", Standing.BAD, NOW - 400, "the Docker engine does not answer"),
            ),
            (WaitingRow("mail", 3, NOW - 500, "connection refused"),),
        ),
    )


def alert(number: int, *, is_open: bool) -> AlertRow:
    name = ("active-slot", "disk", "site", "outside", "tls", "proxy", "release", "budget", "restarts")[number % 9]
    name = name if number < 9 else f"{name}-{number}"
    return AlertRow(
        name,
        "firing" if is_open else "resolved",
        "page" if number % 2 == 0 else "warning",
        is_open,
        NOW - 400,
        "green: ready: status 503" if is_open else "",
        "maria" if number == 1 else "",
        number == 1,
        False,
    )


def lanes() -> Lanes:
    occupied, users, switches = [], [], []
    for number in range(12):
        colour = "blue" if number % 2 else "green"
        began = NOW - (12 - number) * 5 * HOUR
        ended = None if number == 11 else began + 5 * HOUR
        occupied.append(Stretch(colour, f"v1.{number}.0", began, None if number >= 10 else began + 10 * HOUR))
        users.append(Stretch(colour, f"v1.{number}.0", began, ended))
        switches.append(Switch(began, f"r-{number}", f"v1.{number}.0", colour, number == 6, 0.3))
    return Lanes(NOW - 60 * HOUR, NOW, tuple(occupied), tuple(users), tuple(switches))


def release(number: int) -> ReleaseRow:
    is_bad = number == 3
    return ReleaseRow(
        release=f"20261129-1{number:02d}000-deploy-v1.{12 - number}.0",
        kind="Release",
        version=f"v1.{12 - number}.0",
        from_version=f"v1.{11 - number}.0",
        colour="blue" if number % 2 else "green",
        at=NOW - number * 5 * HOUR,
        seconds=31.2,
        standing=Standing.WARNING if is_bad else Standing.GOOD,
        outcome="rolled back" if is_bad else "promoted",
        why="23 of 11,842 requests were lost; 0 are permitted" if is_bad else "",
        who="maria",
        reason="Faster checkout",
        phases=tuple(
            StepSpan(step, StepEnd.UNDONE if is_bad and step == "switch" else StepEnd.DONE, 0.4) for step in STEPS
        ),
        report=f"20261129-1{number:02d}000-deploy-v1.{12 - number}.0/report.html",
        traffic=traffic(lost=23 if is_bad else 0),
    )


def traffic(*, lost: int) -> MeasuredTraffic:
    rows = tuple((f"u17-{each}", "GET", "/cart", "", "green", "connection reset") for each in range(min(lost, 10)))
    return MeasuredTraffic(
        sent=30_124,
        lost=lost,
        lost_bound="0 of 30,124, < 0.010% at 95%" if not lost else "",
        windows=(
            RequestWindow("before the switch", 5642, 0, 0, 0.022, 0.0281, 0.0088),
            RequestWindow("during the switch", 1003, lost, 0, 0.0222, 0.0302, 0.0113),
            RequestWindow("after the switch", 23_479, 0, 0, 0.0221, 0.0287, 0.0097),
        ),
        lost_columns=("id", "method", "name", "status", "served_slot", "detail") if lost else (),
        lost_rows=rows,
    )


def health(target: str) -> HealthRow:
    cells = tuple(
        HealthCell(
            endpoint,
            Standing.BAD if (target, endpoint) == ("green", "ready") else Standing.GOOD,
            "status 503" if (target, endpoint) == ("green", "ready") else "",
            0.99987,
            0.004,
            0.021,
        )
        for endpoint in ENDPOINTS
    )
    return HealthRow(target, target == "green", True, "v1.12.0" if target != "blue" else "v1.11.0", cells)


def with_text(value: T, text: str) -> T:
    """Return the value with `text` in place of every text that comes from outside."""
    return _replaced(value, text)  # type: ignore[no-any-return]


def _replaced(value: Any, text: str) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return type(value)(**{field.name: _replaced(getattr(value, field.name), text) for field in fields(value)})
    if isinstance(value, tuple):
        return tuple(_replaced(each, text) for each in value)
    if isinstance(value, Mapping):
        return {key: _replaced(each, text) for key, each in value.items()}
    return text if type(value) is str else value
