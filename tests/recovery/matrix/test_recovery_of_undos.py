"""Every step's undo on a real site, under traffic: after the whole step, after a half, after none of it; and twice.

Every run takes the steps that act on the site; CAKRAVIA_TEST_MATRIX=full all of them, for deploys and rollbacks.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from cakravia_verify.history.releases import ROLLED_BACK
from cakravia_verify.release.machine import Release
from cakravia_verify.release.planning import planned
from cakravia_verify.release.steps import STEPS
from cakravia_verify.site.site import Site
from tests.recovery.matrix.cells import VERSIONS, Lane
from tests.recovery.matrix.dying import MIDDLES

IS_FULL = os.environ.get("CAKRAVIA_TEST_MATRIX") == "full"


class Halfway(Exception):  # noqa: N818 - a place, not an error
    """The step ends here, with some of its work done and some not."""


@dataclass(frozen=True)
class Case:
    """`part` of `step` is done by a release of `kind`: none, half or all of it."""

    kind: str
    step: str
    part: str

    def __str__(self) -> str:
        return f"{self.kind}-{self.part}-of-{self.step}"


EVERY = tuple(
    Case(kind, step.name, part)
    for kind in ("deploy", "rollback")
    for step in STEPS
    for part in ("none", "half", "all")
    if (kind, step.name, part) != ("rollback", "build", "half")  # it builds nothing
    if (kind, step.name, part) != ("rollback", "stage", "half")  # nor does it start what is warm
)
FEW = (
    Case("deploy", "prepare", "half"),
    Case("deploy", "stage", "half"),
    Case("deploy", "switch", "half"),
    Case("deploy", "promote", "all"),
    Case("rollback", "switch", "half"),
)


@dataclass(frozen=True)
class Picture:
    """Where users are, and what runs there."""

    users_on: str
    version: str
    identity: str
    may_stand_in: bool
    drift: tuple[str, ...]


def picture(site: Site) -> Picture:
    state = site.observe()
    assert state.active is not None
    active = state.active
    return Picture(str(state.served), active.version, active.identity, state.proxy.has_failover, state.drift)


def begun(site: Site, kind: str, version: str) -> Release:
    state = site.observe()
    target = next(each for each in site.platform.retained() if each.version == version) if kind == "rollback" else None
    release_id = f"undone-{version}-{len(site.journal.entries())}"
    intent = planned(site, state, release=release_id, kind=kind, version=version, target=target)
    release = Release(site, intent, STEPS, target=target)
    release.start()
    return release


@contextmanager
def ending_halfway(site: Site, step: str) -> Iterator[None]:
    """The step's call on the world raises, before or after it has done its work."""
    part, method, count, acts_first = MIDDLES[step]
    target = getattr(site, part)
    real: Callable[..., Any] = getattr(target, method)
    calls = 0

    def half(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == count and not acts_first:
            raise Halfway
        result = real(*arguments, **named)
        if calls == count:
            raise Halfway
        return result

    setattr(target, method, half)
    try:
        with pytest.raises(Halfway):
            yield
    finally:
        delattr(target, method)


@pytest.mark.parametrize("case", EVERY if IS_FULL else FEW, ids=str)
def test_undo_brings_back_what_was_however_much_was_done_and_however_often(case: Case, lane: Lane) -> None:
    site = lane.site()
    before = picture(site)
    version = next(each for each in VERSIONS if each != before.version)
    release = begun(site, case.kind, version)
    names = [step.name for step in STEPS]
    if case.part == "none":
        if names.index(case.step):
            release.advance(names[names.index(case.step) - 1])
        release.begun.append(case.step)
    elif case.part == "all":
        release.advance(case.step)
    else:
        if names.index(case.step):
            release.advance(names[names.index(case.step) - 1])
        with ending_halfway(site, case.step):
            release.advance(case.step)
    for _ in range(2):
        release.undone.clear()
        release.roll_back("the test says so")
        idle = site.observe().slots.idle
        assert picture(site) == Picture(
            before.users_on, before.version, before.identity, may_stand_in=idle is not None, drift=()
        )
        if idle is not None:
            assert all(reading.is_healthy for reading in site.readings(idle))
            assert idle.release != release.id
    release.finish(ROLLED_BACK)
    suffered, answered = lane._suffered_since(0)
    assert answered > 0
    assert suffered == []
    assert site.journal.damage() == []


def test_every_step_that_there_is_can_end_halfway() -> None:
    assert {case.step for case in EVERY if case.part == "half"} == {step.name for step in STEPS}
