"""The blue-green path, in order: prove first, switch in one tiny act, drain last."""

from __future__ import annotations

from typing import Any, Final

from cakravia_verify.errors import CakraviaError, NotHealthy, ReleaseError
from cakravia_verify.history.releases import records
from cakravia_verify.release.conditions import (
    complaints,
    is_confirmed,
    is_healthy,
    refuse_the_slot_of_users,
    require_confirmed,
    require_healthy,
    require_its_name,
    require_users_on,
    slot_to_return_to,
    smoke_trouble,
    take_round,
    wait_until_drained,
)
from cakravia_verify.release.direct_users import PROXY_SECONDS, direct_users, direct_users_to_empty_slot
from cakravia_verify.release.machine import Release, Step
from cakravia_verify.slots import Artifact, Slot

BAKE_TOLERATES: Final = 1


def build(release: Release) -> dict[str, Any]:
    """The artifact exists and is identified."""
    if release.target is None:
        deadline = release.deadline("the build ends", release.site.settings.app.build_timeout)
        release.target = release.site.platform.build(release.intent.version, deadline=deadline)
    release.facts.artifact = release.target
    return {"digest": release.target.digest, "note": release.target.digest[:19]}


def prepare(release: Release) -> dict[str, Any]:
    """No other slot can answer in place of the one that is asked, and the proxy runs the present configuration."""
    proxy = release.site.proxy
    proxy.set_failover(allowed=False)
    if not proxy.observe().is_running:
        return {}
    reloaded = proxy.refresh(deadline=release.deadline("the proxy takes its configuration", PROXY_SECONDS))
    return {"reloaded": reloaded, "note": "configuration reloaded" if reloaded else ""}


def stage(release: Release) -> dict[str, Any]:
    """The candidate's process runs in the idle slot; no user reaches it."""
    site, intent = release.site, release.intent
    refuse_the_slot_of_users(site, intent.candidate)
    running = site.platform.observe(intent.candidate)
    artifact = _artifact(release)
    if intent.is_warm and running is not None and running.digest == artifact.digest:
        release.facts.candidate = running
        return {"identity": running.identity, "note": "warm, nothing to start"}
    deadline = release.deadline(f"{intent.candidate} starts", site.settings.app.grace + site.settings.health.deadline)
    slot = site.platform.start(intent.candidate, artifact, release=release.id, deadline=deadline)
    release.facts.candidate = slot
    return {"identity": slot.identity, "digest": slot.digest, "note": f"{slot} started"}


def unstage(release: Release) -> dict[str, Any]:
    """What this release started in the candidate's slot is gone; what ran there before it came is left alone."""
    site, colour = release.site, release.intent.candidate
    proxy = site.proxy.observe()
    if proxy.is_running and proxy.chosen is colour:
        # Somebody else sent users here; no verdict did.
        unswitch(release)
    running = site.platform.observe(colour)
    if running is None:
        return {"note": "nothing was running"}
    if running.release != release.id:
        return {"note": f"{running} left warm"}
    refuse_the_slot_of_users(site, colour)
    site.platform.stop(colour, deadline=release.deadline(f"{colour} stops", release.grace))
    return {"note": f"{colour} stopped"}


def prove(release: Release) -> dict[str, Any]:
    """Every endpoint of the candidate gave enough good readings in a row, each naming the right slot and version."""
    health, slot = release.site.settings.health, _candidate(release)
    deadline = release.deadline(f"{slot} becomes healthy", health.deadline)
    streak = 0
    while True:
        readings = take_round(release, slot)
        streak = streak + 1 if all(reading.is_healthy for reading in readings) else 0
        if streak >= health.consecutive:
            require_its_name(release, slot, readings)
            rounds = release.facts.good_rounds + release.facts.bad_rounds
            return {"rounds": rounds, "note": f"{streak} good rounds in a row, {rounds} in all"}
        if deadline.is_over:
            raise NotHealthy(
                f"{slot} did not become healthy within {health.deadline:g} s: {complaints(readings)}",
                remedy=f"see its log: cakravia logs {slot.colour}",
            )
        release.pause(health.interval)


def smoke(release: Release) -> dict[str, Any]:
    """The candidate answers what users will ask, asked directly."""
    site, slot = release.site, _candidate(release)
    for request in site.settings.release.smoke:
        if trouble := smoke_trouble(site, slot, request):
            raise NotHealthy(f"smoke: {request.method} {request.path} on {slot}: {trouble}")
        release.facts.smoke_passed += 1
    return {"requests": release.facts.smoke_passed, "note": f"{release.facts.smoke_passed} requests as expected"}


def switch(release: Release) -> dict[str, Any]:
    """Every request that begins from now on goes to the candidate."""
    site, slot = release.site, _candidate(release)
    require_healthy(site, slot)
    release.watch()
    # The step "confirm" asks for the answers, so that the journal has the switch before it waits for them.
    switchover = direct_users(site, slot, confirmations=0, deadline=release.deadline("the switchover", PROXY_SECONDS))
    release.facts.switchovers.append(switchover)
    milliseconds = switchover.seconds * 1000
    return {"milliseconds": round(milliseconds, 3), "note": f"users to {slot.colour} in {milliseconds:.1f} ms"}


def unswitch(release: Release) -> dict[str, Any]:
    """Users are back on the slot that served them before, which is healthy; on a first release the proxy is down."""
    site, intent = release.site, release.intent
    state = site.proxy.observe()
    if intent.active is None or not intent.active_digest:  # a proxy may point at a slot where nothing runs
        if not intent.proxy_was_running:
            site.proxy.stop(deadline=release.deadline("the proxy stops", release.grace))
        elif state.is_running:
            deadline = release.deadline("users leave", PROXY_SECONDS)
            direct_users_to_empty_slot(site, intent.candidate.other, deadline=deadline)
        return {"note": "no version was active before"}
    has_users = state.is_running and state.chosen is intent.active
    # What answered users before this release and was ill by its readings then is no worse now.
    slot = slot_to_return_to(release, intent.active, must_be_healthy=not (has_users or intent.was_ill))
    count = site.settings.release.confirmations
    if not (has_users and is_confirmed(site, slot, count=count)):
        deadline = release.deadline(f"users return to {slot}", PROXY_SECONDS)
        # The switchover is a fact of this release, whether or not the answers confirm it.
        release.facts.switchovers.append(direct_users(site, slot, confirmations=0, deadline=deadline))
        require_confirmed(site, slot, count=count)
    left = wait_until_drained(release, intent.candidate, seconds=min(release.grace, site.settings.release.drain))
    return {"left_in_flight": left, "note": f"users back on {slot}"}


def confirm(release: Release) -> dict[str, Any]:
    """Answers through the proxy name the candidate's slot and version, one after the other."""
    count = release.site.settings.release.confirmations
    require_confirmed(release.site, _candidate(release), count=count)
    release.facts.confirmed_at = release.site.clock.monotonic()
    release.facts.confirmations = count
    return {"answers": count, "note": f"{count} answers in a row name {_candidate(release)}"}


def drain(release: Release) -> dict[str, Any]:
    """The old slot has nothing in flight, or the deadline passed and what is left is known."""
    if release.intent.active is None:
        return {"note": "no old slot"}
    left = wait_until_drained(
        release, release.intent.active, seconds=release.site.settings.release.drain, pause=release.pause
    )
    release.facts.left_in_flight = left
    return {"left_in_flight": left, "note": f"{left} still open" if left else "nothing in flight on the old slot"}


def bake(release: Release) -> dict[str, Any]:
    """Users stayed on the candidate for the whole bake, and it stayed healthy."""
    site, slot, facts = release.site, _candidate(release), release.facts
    facts.bake_began = site.clock.monotonic()
    over = release.deadline("the bake", site.settings.release.bake)
    in_a_row = 0
    while True:
        readings = take_round(release, slot)
        bad = [reading for reading in readings if not reading.is_healthy]
        in_a_row = in_a_row + 1 if bad else 0
        facts.bake_rounds += 1
        facts.bake_bad_rounds += bool(bad)
        if in_a_row > BAKE_TOLERATES:
            raise NotHealthy(f"{slot} became unhealthy under traffic: {complaints(readings)}")
        if over.is_over and not in_a_row:
            break
        interval = max(site.settings.health.interval, 0.25)
        release.pause(interval if in_a_row else min(interval, max(over.remaining, 0.01)))
    facts.bake_ended = site.clock.monotonic()
    return {
        "rounds": facts.bake_rounds,
        "bad_rounds": facts.bake_bad_rounds,
        "note": f"{facts.bake_rounds} health rounds",
    }


def promote(release: Release) -> dict[str, Any]:
    """The candidate is the site's version; the old slot is warm and may stand in, or is gone.

    A version that users were brought back from never stands in. Raises NotConfirmed where users are not on a healthy
    candidate: then the old slot may be all they have.
    """
    site, intent = release.site, release.intent
    old = intent.active
    require_users_on(site, intent.candidate)
    if old is None:
        return {"note": "first version"}
    running = site.platform.observe(old)
    if not site.settings.slots.keep_warm:
        site.platform.stop(old, deadline=release.deadline(f"{old} retires", site.settings.app.grace + 5))
        return {"note": f"{old} retired"}
    may_fail_over = intent.kind != "rollback" and running is not None and is_healthy(site, running)
    site.proxy.set_failover(allowed=may_fail_over)
    note = f"{running} kept warm" if running else f"{old} ended before it could be kept warm"
    return {"failover": may_fail_over, "note": note}


def cleanup(release: Release) -> dict[str, Any]:
    """Only versions that a slot or a rollback may need are kept."""
    site = release.site
    needed = {release.intent.active_digest} - {""}
    promoted = {record.digest for record in records(site.journal.entries()) if record.holds_users} - {""}
    promoted |= {release.facts.artifact.digest} if release.facts.artifact else set()
    try:
        removed = site.platform.prune(keep=needed, retain=site.settings.release.retain, promoted=promoted)
    except (CakraviaError, OSError) as error:  # old files in the way are no reason to take users back
        return {"note": f"old versions could not be removed: {error}"}
    return {"removed": [artifact.version for artifact in removed], "note": f"{len(removed)} old versions removed"}


def restore_failover(release: Release) -> dict[str, Any]:
    """The idle slot may stand in for the active one again, where it runs and is healthy."""
    site, active = release.site, release.intent.active
    other = site.platform.observe(active.other) if active else None
    allowed = release.intent.had_failover and other is not None and is_healthy(site, other)
    site.proxy.set_failover(allowed=allowed)
    return {"failover": allowed}


STEPS: Final = (
    Step("build", build),
    Step("prepare", prepare, restore_failover),
    Step("stage", stage, unstage),
    Step("prove", prove),
    Step("smoke", smoke),
    Step("switch", switch, unswitch),
    Step("confirm", confirm),
    Step("drain", drain),
    Step("bake", bake),
    Step("promote", promote),
    Step("cleanup", cleanup),
)


def _artifact(release: Release) -> Artifact:
    if release.facts.artifact is None:
        raise ReleaseError("there is no artifact to start")
    return release.facts.artifact


def _candidate(release: Release) -> Slot:
    if release.facts.candidate is None:
        raise ReleaseError("no candidate was staged")
    return release.facts.candidate
