"""The state of a release as a hook of others gets it: frozen, so a hook cannot change the release."""

from __future__ import annotations

from dataclasses import dataclass

from cakravia_verify.history.releases import Intent
from cakravia_verify.proxy.protocol import Switchover
from cakravia_verify.release.machine import Release
from cakravia_verify.slots import Artifact, Slot


@dataclass(frozen=True)
class ReleaseSnapshot:
    """A release at one instant.

    `intent` is what it set out to do, `artifact` what was built and `candidate` the slot that runs it; None before
    that. `steps_done` names the steps that are done, in order. `failure` says what stopped the release; empty if
    nothing did. `left_in_flight` counts the requests that were open on the old slot after the drain; None before that.
    """

    id: str
    intent: Intent
    artifact: Artifact | None
    candidate: Slot | None
    steps_done: tuple[str, ...]
    failure: str
    switchovers: tuple[Switchover, ...]
    smoke_passed: int
    confirmations: int
    left_in_flight: int | None
    bake_seconds: float
    bake_rounds: int
    bake_bad_rounds: int


def snapshot_of(release: Release) -> ReleaseSnapshot:
    """Return the release as it is now. Later steps do not change what was returned."""
    facts = release.facts
    return ReleaseSnapshot(
        id=release.id,
        intent=release.intent,
        artifact=facts.artifact,
        candidate=facts.candidate,
        steps_done=tuple(release.done),
        failure=str(release.failure or ""),
        switchovers=tuple(facts.switchovers),
        smoke_passed=facts.smoke_passed,
        confirmations=facts.confirmations,
        left_in_flight=facts.left_in_flight,
        bake_seconds=(facts.bake_ended or 0.0) - (facts.bake_began or 0.0) if facts.bake_ended else 0.0,
        bake_rounds=facts.bake_rounds,
        bake_bad_rounds=facts.bake_bad_rounds,
    )
