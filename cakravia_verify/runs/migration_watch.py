"""Watches the version that users are on while a migration runs, and stops the release if it breaks that version."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from cakravia_verify.analysis.comparison import GROSS
from cakravia_verify.analysis.migration_effect import MigrationEffect, Phase
from cakravia_verify.errors import ReleaseError
from cakravia_verify.release.machine import Release
from cakravia_verify.system.clock import to_microseconds
from cakravia_verify.traffic.run import TrafficRun

# Each side is measured for this long, and longer until it has enough requests.
SECONDS: Final = 5.0
REQUESTS: Final = GROSS.minimum
# Every kind of request of the control sample is awaited this long after the migration.
EVERY_KIND_SECONDS: Final = 15.0
LONGEST_SECONDS: Final = 120.0
_EVERY: Final = 0.1


@contextmanager
def watch_migration(release: Release, traffic_run: TrafficRun, name: str) -> Iterator[None]:
    """Measure the control sample, watch users while the body runs the migration, then measure again.

    Raises ReleaseError as soon as users lose requests, get errors or wait longer than in the control sample, and if
    there are too few requests to know.
    """
    budget, clock = release.site.settings.budget, release.site.clock
    effect = MigrationEffect(lost=budget.lost, errors=budget.errors, streams=traffic_run.plan.streams)
    _refuse_harm = _refusal(release, name)

    def watch() -> None:
        _refuse_harm(effect.harm())

    traffic_run.follow()
    traffic_run.on_row = effect.count
    try:
        _gather(release, lambda: effect.control, kinds=())
        effect.begin(int(to_microseconds(clock.monotonic())))
        release.watchers.append(watch)
        yield
        effect.end(int(to_microseconds(clock.monotonic())))
        _gather(release, lambda: effect.after, kinds=tuple(effect.control.requests))
        _refuse_harm(effect.lasting_harm())
    finally:
        traffic_run.on_row = lambda _: None
        if watch in release.watchers:
            release.watchers.remove(watch)


def _refusal(release: Release, name: str) -> Callable[[str], None]:
    def refuse(harm: str) -> None:
        if harm:
            raise ReleaseError(
                f"this migration breaks the version your users are on: '{name}' against "
                f"{release.intent.active_version}: {harm}",
                remedy="split it: first add what both versions can live with, and remove the old form in a later "
                "release (docs/HOOKS.md, expand and contract). What it changed was not undone",
            )

    return refuse


def _gather(release: Release, phase_of: Callable[[], Phase], *, kinds: tuple[str, ...]) -> None:
    """Wait until the phase has enough requests, of every kind. Raises ReleaseError if they do not come."""
    clock = release.site.clock
    began = clock.monotonic()
    while True:
        phase, waited = phase_of(), clock.monotonic() - began
        has_enough = waited >= SECONDS and phase.total >= REQUESTS
        if has_enough and (waited >= EVERY_KIND_SECONDS or all(phase.requests[kind] for kind in kinds)):
            return
        if waited >= LONGEST_SECONDS:
            raise ReleaseError(
                f"the version that users are on answered {phase.total} requests in {LONGEST_SECONDS:g} s; a migration "
                f"is judged by at least {REQUESTS}",
                remedy="raise [traffic] rate",
            )
        release.pause(_EVERY)
