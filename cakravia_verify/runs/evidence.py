"""The evidence of a release: what its steps showed, and what serves users at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cakravia_verify.errors import CakraviaError
from cakravia_verify.gate.model import Evidence, Measured
from cakravia_verify.release.machine import Release
from cakravia_verify.runs.failures import describe
from cakravia_verify.site.site import Served, Site
from cakravia_verify.slots import Colour, Slot


@dataclass(frozen=True)
class EndState:
    """What the platform and one answer through the proxy showed at the end of a release.

    `candidate` runs in the candidate's slot and `serving` in the slot that answered; None if nothing runs there or it
    could not be read. `is_gone` says that the candidate's process is not there any more. `unread` says what could not
    be read, one sentence each.
    """

    served: Served | None = None
    candidate: Slot | None = None
    serving: Slot | None = None
    is_gone: bool = False
    unread: tuple[str, ...] = ()


def observe_end(site: Site, candidate: Slot) -> EndState:
    """Read what runs in the candidate's slot and what answers users. Nothing is read twice."""
    served = site.serving()
    slots: dict[Colour, Slot | None] = {}
    unread: list[str] = []
    for colour in dict.fromkeys(filter(None, (candidate.colour, served.slot))):
        try:
            slots[colour] = site.platform.observe(colour)
        except CakraviaError as error:
            unread.append(f"what runs in {colour} could not be read: {describe(error)}")
    running = slots.get(candidate.colour)
    is_same = running is not None and running.identity == candidate.identity
    return EndState(
        served=served,
        candidate=running if is_same else None,
        serving=slots.get(served.slot) if served.slot else None,
        is_gone=candidate.colour in slots and not is_same,
        unread=tuple(unread),
    )


def evidence_of(
    release: Release,
    end: EndState,
    *,
    required: Mapping[str, str],
    measured: Measured | None,
    has_previous: bool,
    interrupted: str = "",
    objections: Sequence[str] = (),
) -> Evidence:
    """Return everything that the gate may consider. What was not read stays at its default."""
    facts, settings, served = release.facts, release.site.settings, end.served
    baked = None if facts.bake_began is None or facts.bake_ended is None else facts.bake_ended - facts.bake_began
    version = (served.version if served else "") or (end.serving.version if end.serving else "")
    return Evidence(
        release=release.id,
        kind=release.intent.kind,
        version=release.intent.version,
        candidate=str(facts.candidate) if facts.candidate else "",
        candidate_slot=str(facts.candidate.colour) if facts.candidate else "",
        built_digest=facts.artifact.digest if facts.artifact else "",
        running_digest=end.candidate.digest if end.candidate else "",
        is_candidate_gone=end.is_gone,
        has_previous=has_previous,
        health_rounds=facts.good_rounds,
        health_rounds_needed=settings.health.consecutive,
        bake_rounds=facts.bake_rounds if facts.bake_ended else 0,
        bake_bad_rounds=facts.bake_bad_rounds,
        bake_seconds=baked,
        bake_seconds_planned=settings.release.bake,
        smoke_passed=facts.smoke_passed,
        smoke_planned=len(settings.release.smoke),
        confirmations=facts.confirmations,
        confirmations_needed=settings.release.confirmations,
        serving=f"{served.slot} ({version or 'unknown'})" if served and served.slot else "",
        serving_slot=str(served.slot) if served and served.slot else "",
        serving_version=version,
        serving_digest=end.serving.digest if end.serving else "",
        serving_problem=served.problem if served else "",
        failure=describe(release.failure) if release.failure and not interrupted else "",
        interrupted=interrupted,
        required=dict(required),
        measured=measured,
        objections=tuple(objections),
    )
