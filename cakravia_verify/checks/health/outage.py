"""An outage of a dependency, made on purpose: readiness notices it in time, liveness does not change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cakravia_verify.checks.model import Ground
from cakravia_verify.errors import CakraviaError, UsageError
from cakravia_verify.slots import Colour, Slot
from cakravia_verify.system.clock import Deadline

# Seconds. A proxy or an orchestrator that asks every few seconds should know by then.
NOTICE_SECONDS: Final = 10.0
COMMAND_SECONDS: Final = 120.0
# Rounds that are read on after every slot noticed: liveness must stay good.
ROUNDS_AFTER: Final = 5


@dataclass(frozen=True)
class OutageRecord:
    """What the slots said. `unnoticed` and `lost` name slots whose readiness stayed good, or did not come back.

    `live` has each answer of liveness that was not good.
    """

    unnoticed: tuple[str, ...]
    live: tuple[str, ...]
    lost: tuple[str, ...]


def make_outage(ground: Ground) -> OutageRecord:
    """Take the dependency away, read the slots, and give it back, whatever happens. Raises CakraviaError."""
    site, contract = ground.site, ground.settings.contract
    slots = [slot for slot in map(site.platform.observe, Colour) if slot is not None]
    if not slots:
        raise UsageError("no slot runs, so nothing would notice the outage", remedy="start the site: cakravia up")
    if ill := _not_ready(ground, slots):
        raise CakraviaError(f"{', '.join(ill)} is not ready before the outage", remedy="cakravia check health")
    _run(ground, contract.outage)
    try:
        unnoticed, live = _watch(ground, slots)
    finally:
        _run(ground, contract.recovery)
    back = Deadline("readiness comes back", ground.settings.health.deadline, clock=site.clock)
    while (lost := _not_ready(ground, slots)) and not back.is_over:
        site.clock.sleep(ground.settings.health.interval)
    return OutageRecord(unnoticed, live, tuple(lost))


def _watch(ground: Ground, slots: Sequence[Slot]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the slots that did not notice in time, and each bad answer of liveness."""
    site, clock = ground.site, ground.site.clock
    unnoticed, live, rounds = {str(slot) for slot in slots}, [], 0
    deadline = Deadline("readiness notices the outage", NOTICE_SECONDS, clock=clock)
    while rounds < ROUNDS_AFTER and not (unnoticed and deadline.is_over):
        unnoticed -= set(_not_ready(ground, slots))
        rounds += not unnoticed
        if "live" in ground.settings.contract.endpoints:
            answers = [(slot, site.prober.read(slot.address, "live")) for slot in slots]
            live += [f"{slot}: {answer}" for slot, answer in answers if not answer.is_healthy]
        clock.sleep(ground.settings.health.interval)
    return tuple(sorted(unnoticed)), tuple(dict.fromkeys(live))


def _not_ready(ground: Ground, slots: Sequence[Slot]) -> list[str]:
    endpoints = ground.settings.contract.endpoints
    endpoint = next((name for name in ("ready", "health") if name in endpoints), next(iter(endpoints)))
    return [str(slot) for slot in slots if not ground.site.prober.read(slot.address, endpoint).is_healthy]


def _run(ground: Ground, command: Sequence[str]) -> None:
    ran = ground.machine.run(command, seconds=COMMAND_SECONDS)
    if ran.status != 0:
        raise CakraviaError(
            f"[contract] {' '.join(command)!r} failed: {ran.output[-300:] or f'status {ran.status}'}",
            remedy="correct the command; check that the dependency runs again",
        )
