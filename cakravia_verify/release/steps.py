"""The steps of a release, in order: prove first, switch in one atomic act, drain last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from cakravia_verify.errors import CakraviaError, NotHealthy, ReleaseError
from cakravia_verify.history.releases import records
from cakravia_verify.release.candidate_watch import SHORTEST_INTERVAL, TOLERATED_ROUNDS, CandidateWatch
from cakravia_verify.release.companions import move_companions
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
    smoke_trouble_through_proxy,
    take_round,
    wait_until_drained,
    was_seen,
    write_failures,
)
from cakravia_verify.release.direct_users import (
    PROXY_SECONDS,
    direct_users,
    direct_users_to_empty_slot,
    proxy_deadline,
)
from cakravia_verify.release.machine import Release, Step
from cakravia_verify.release.open_pages import keep_assets, pin_old_version, pins_old_slot, unpin_ill_slot
from cakravia_verify.release.roles import correct_roles, set_roles
from cakravia_verify.site.site import Site
from cakravia_verify.slots import Artifact, Slot

# More changes of the proxy's configuration than this are counted.
MOST_CHANGES: Final = 6


def build(release: Release) -> dict[str, Any]:
    """Build or find the artifact of the version. The artifact that was asked for is not built again if it is kept."""
    version = release.intent.version
    if release.target is None:
        release.target = kept_artifact(release.site, version, digest=release.permitted_digest)
    if release.target is None:
        deadline = release.deadline("the build ends", release.site.settings.app.build_timeout)
        release.target = release.site.platform.build(version, deadline=deadline)
    _require_permitted(release.target.digest, release)
    release.facts.artifact = release.target
    return {"digest": release.target.digest, "note": release.target.digest[:19]}


def kept_artifact(site: Site, version: str, *, digest: str) -> Artifact | None:
    """Return the artifact of a version with this digest if it can start without a build, else None."""
    kept = site.platform.retained() if digest else ()
    return next((each for each in kept if (each.version, each.digest) == (version, digest)), None)


def _require_permitted(digest: str, release: Release) -> None:
    if release.permitted_digest not in ("", digest):
        raise ReleaseError(
            f"{release.intent.version} is the artifact {digest} here; only {release.permitted_digest} may be released",
            remedy="deliver the very artifact, such as the image by its id; do not build it again",
        )


def prepare(release: Release) -> dict[str, Any]:
    """Withdraw failover, and load the present configuration into the proxy."""
    site = release.site
    withdraw_failover(release)
    if not site.proxy.observe().is_running:
        return {}
    changes = site.proxy.changes()
    reloaded = site.proxy.refresh(deadline=proxy_deadline(site, "the proxy takes its configuration"))
    return {"reloaded": reloaded, "note": _reload_note(changes) if reloaded else ""}


def withdraw_failover(release: Release) -> dict[str, Any]:
    """Withdraw failover: a stand-in would hide a broken candidate."""
    release.site.proxy.set_failover(allowed=False)
    return {}


def stage(release: Release) -> dict[str, Any]:
    """Start the candidate in the idle slot. Users do not reach it."""
    site, intent = release.site, release.intent
    refuse_the_slot_of_users(site, intent.candidate)
    running = site.platform.observe(intent.candidate)
    artifact = _artifact(release)
    if intent.is_warm and running is not None and running.digest == artifact.digest:
        release.facts.candidate = running
        return {"identity": running.identity, "note": "warm, nothing to start"}
    if site.settings.proxy.skew.is_on:
        site.proxy.unpin(intent.candidate)
    deadline = release.deadline(f"{intent.candidate} starts", site.settings.app.grace + site.settings.health.deadline)
    slot = site.platform.start(intent.candidate, artifact, release=release.id, deadline=deadline)
    release.facts.candidate = slot
    return {"identity": slot.identity, "digest": slot.digest, "note": f"{slot} started"}


def unstage(release: Release) -> dict[str, Any]:
    """Stop what this release started in the candidate's slot. An older process there stays."""
    site, colour = release.site, release.intent.candidate
    proxy = site.proxy.observe()
    if proxy.is_running and proxy.chosen is colour:
        # A person or another tool sent users here, without a verdict.
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
    """Wait for enough good rounds of readings in a row. Each reading must name the candidate's slot and version."""
    site, slot = release.site, _candidate(release)
    health = site.settings.health
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
                remedy="; ".join([f"read its log: cakravia logs {slot.colour}", *write_failures(site, slot)]),
            )
        release.pause(health.interval)


def smoke(release: Release) -> dict[str, Any]:
    """Send the smoke requests to the candidate directly, and then as users' requests go: through a running proxy."""
    site, slot = release.site, _candidate(release)
    has_proxy = site.proxy.observe().is_running
    for request in site.settings.release.smoke:
        asked = f"{request.method} {request.path} on {slot}"
        if trouble := smoke_trouble(site, slot, request):
            raise NotHealthy(f"smoke: {asked}: {trouble}", remedy="; ".join(write_failures(site, slot)))
        if has_proxy and (trouble := smoke_trouble_through_proxy(site, slot, request)):
            raise NotHealthy(
                f"smoke: {asked}: as expected from the slot, but through the proxy: {trouble}",
                remedy="docs/PROXY.md lists the limits of the proxy and what it changes",
            )
        release.facts.smoke_passed += 1
    failures = write_failures(site, slot)
    kept = keep_assets(release, slot)
    return {
        "requests": release.facts.smoke_passed,
        "write_failures": list(failures),
        "note": "; ".join([f"{release.facts.smoke_passed} requests as expected", *failures, *filter(None, [kept])]),
    }


def switch(release: Release) -> dict[str, Any]:
    """Route every new request to the candidate."""
    site, slot = release.site, _candidate(release)
    require_healthy(site, slot)
    release.watch()
    pin_old_version(release)
    # The step "confirm" asks for the answers, so that the journal has the switch before it waits for them.
    switchover = direct_users(site, slot, confirmations=0, deadline=proxy_deadline(site, "the switchover"))
    release.facts.switchovers.append(switchover)
    milliseconds = switchover.seconds * 1000
    shown = f"{milliseconds:.1f}" if milliseconds >= 1 else f"{milliseconds:.2f}"
    return {"milliseconds": round(milliseconds, 3), "note": f"users to {slot.colour} in {shown} ms"}


def unswitch(release: Release) -> dict[str, Any]:
    """Bring users back to the slot that served them before. After a first release, stop the proxy."""
    site, intent = release.site, release.intent
    state = site.proxy.observe()
    if intent.active is None or not intent.active_digest:  # a proxy may point at a slot where nothing runs
        if not intent.proxy_was_running:
            site.proxy.stop(deadline=release.deadline("the proxy stops", release.grace))
        elif state.is_running:
            deadline = proxy_deadline(site, "users leave")
            direct_users_to_empty_slot(site, intent.candidate.other, deadline=deadline)
        set_roles(site, None)
        return {"note": "no version was active before"}
    has_users = state.is_running and state.chosen is intent.active
    # A slot that served users before this release, and was unhealthy then, is not refused for it now.
    slot = slot_to_return_to(release, intent.active, must_be_healthy=not (has_users or intent.was_ill))
    count = site.settings.release.confirmations
    if not (has_users and is_confirmed(site, slot, count=count)):
        deadline = proxy_deadline(site, f"users return to {slot}")
        # The switchover is a fact of this release, whether or not the answers confirm it.
        release.facts.switchovers.append(direct_users(site, slot, confirmations=0, deadline=deadline))
        require_confirmed(site, slot, count=count)
    correct_roles(site)
    left = wait_until_drained(release, intent.candidate, seconds=min(release.grace, site.settings.release.drain))
    return {"left_in_flight": left, "note": f"users back on {slot}"}


def confirm(release: Release) -> dict[str, Any]:
    """Wait until answers through the proxy, in a row, name the candidate's slot and version."""
    count = release.site.settings.release.confirmations
    watch = CandidateWatch(release, _candidate(release))
    require_confirmed(release.site, _candidate(release), count=count, pause=watch.pause)
    release.facts.confirmed_at = release.site.clock.monotonic()
    release.facts.confirmations = count
    return {"answers": count, "note": f"{count} answers in a row name {_candidate(release)}"}


def drain(release: Release) -> dict[str, Any]:
    """Wait until the old slot has no request in flight, or until the deadline; count what is left."""
    if release.intent.active is None:
        return {"note": "no old slot"}
    left = wait_until_drained(
        release,
        release.intent.active,
        seconds=release.site.settings.release.drain,
        pause=CandidateWatch(release, _candidate(release)).pause,
    )
    if left and pins_old_slot(release) and release.site.settings.slots.keep_warm:
        # It stays, and new requests come. So an open one is no loss to come.
        release.facts.left_in_flight = 0
        return {
            "left_in_flight": 0,
            "pinned": left,
            "note": f"{left} open on the old slot, which goes on for open pages",
        }
    release.facts.left_in_flight = left
    return {"left_in_flight": left, "note": f"{left} still open" if left else "nothing in flight on the old slot"}


def bake(release: Release) -> dict[str, Any]:
    """Keep users on the candidate for the whole bake. Raises NotHealthy if it does not stay healthy."""
    site, slot, facts = release.site, _candidate(release), release.facts
    facts.bake_began = site.clock.monotonic()
    over = release.deadline("the bake", site.settings.release.bake)
    in_a_row, remarks = 0, set[str]()
    while True:
        readings = take_round(release, slot)
        bad = [reading for reading in readings if not reading.is_healthy]
        in_a_row = in_a_row + 1 if bad else 0
        facts.bake_rounds += 1
        facts.bake_bad_rounds += bool(bad)
        old = site.platform.observe(release.intent.active) if release.intent.active else None
        remarks.update(filter(None, [unpin_ill_slot(site, old)]))
        if in_a_row > TOLERATED_ROUNDS:
            raise NotHealthy(f"{slot} became unhealthy under traffic: {complaints(readings)}")
        if over.is_over and not in_a_row:
            break
        interval = max(site.settings.health.interval, SHORTEST_INTERVAL)
        release.pause(interval if in_a_row else min(interval, max(over.remaining, 0.01)))
    facts.bake_ended = site.clock.monotonic()
    return {
        "rounds": facts.bake_rounds,
        "bad_rounds": facts.bake_bad_rounds,
        "note": "; ".join([f"{facts.bake_rounds} health rounds", *remarks]),
    }


def promote(release: Release) -> dict[str, Any]:
    """Move the companions to the candidate's version. Then retire the old slot, or keep it warm for failover.

    Failover never uses a version that users were rolled back from. Raises NotConfirmed if users are not on a healthy
    candidate: the old slot may be the only one that can serve them. Raises CompanionFailed if a companion of the
    candidate's version does not stay alive.
    """
    require_users_on(release.site, release.intent.candidate)
    correct_roles(release.site)
    companions = move_companions(release)
    facts = _retire_old_slot(release)
    return {**facts, "note": "; ".join(filter(None, (facts["note"], companions)))}


def _retire_old_slot(release: Release) -> dict[str, Any]:
    site, intent = release.site, release.intent
    old = intent.active
    if old is None:
        return {"note": "first version"}
    running = site.platform.observe(old)
    if running is not None and not was_seen(release, running):
        site.proxy.set_failover(allowed=False)
        return {"failover": False, "note": f"{running} was not here when this release began; it was left alone"}
    unpin_ill_slot(site, running)
    if not site.settings.slots.keep_warm:
        if site.settings.proxy.skew.is_on:
            site.proxy.unpin(old)
        site.platform.stop(old, deadline=release.deadline(f"{old} retires", site.settings.app.grace + 5))
        return {"note": f"{old} retired"}
    may_fail_over = intent.policy.keeps_old_slot_as_failover and running is not None and is_healthy(site, running)
    site.proxy.set_failover(allowed=may_fail_over)
    note = f"{running} kept warm" if running else f"{old} ended before it could be kept warm"
    return {"failover": may_fail_over, "note": note}


def cleanup(release: Release) -> dict[str, Any]:
    """Remove the versions that no slot and no rollback needs."""
    site = release.site
    needed = {release.intent.active_digest, *(each.digest for each in site.platform.companions.running())} - {""}
    promoted = {record.digest for record in records(site.journal.entries()) if record.holds_users} - {""}
    promoted |= {release.facts.artifact.digest} if release.facts.artifact else set()
    try:
        removed = site.platform.prune(keep=needed, retain=site.settings.release.retain, promoted=promoted)
    except (CakraviaError, OSError) as error:  # old files are no reason for a rollback
        return {"note": f"old versions could not be removed: {error}"}
    return {"removed": [artifact.version for artifact in removed], "note": f"{len(removed)} old versions removed"}


def restore_failover(release: Release) -> dict[str, Any]:
    """Allow failover again, if it was allowed before and the idle slot is healthy."""
    site, active = release.site, release.intent.active
    other = site.platform.observe(active.other) if active else None
    allowed = release.intent.had_failover and other is not None and is_healthy(site, other)
    site.proxy.set_failover(allowed=allowed)
    return {"failover": allowed}


STEPS: Final = (
    Step("build", build, limit=lambda settings: settings.app.build_timeout),
    Step("prepare", prepare, restore_failover, limit=lambda _: PROXY_SECONDS),
    Step("stage", stage, unstage, limit=lambda settings: settings.app.grace + settings.health.deadline),
    Step("prove", prove, limit=lambda settings: settings.health.deadline),
    Step("smoke", smoke),
    Step("switch", switch, unswitch, limit=lambda _: PROXY_SECONDS),
    Step("confirm", confirm, limit=lambda settings: settings.release.confirm_timeout),
    Step("drain", drain, limit=lambda settings: max(settings.release.drain, settings.release.drain_minimum)),
    Step("bake", bake, limit=lambda settings: settings.release.bake),
    Step("promote", promote),
    Step("cleanup", cleanup),
)


def _reload_note(changes: Sequence[str]) -> str:
    more = len(changes) - MOST_CHANGES
    shown = "; ".join([*changes[:MOST_CHANGES], *([f"and {more} more"] if more > 0 else [])])
    return f"configuration reloaded: {shown}" if shown else "configuration reloaded"


def _artifact(release: Release) -> Artifact:
    if release.facts.artifact is None:
        raise ReleaseError("there is no artifact to start")
    return release.facts.artifact


def _candidate(release: Release) -> Slot:
    if release.facts.candidate is None:
        raise ReleaseError("no candidate was staged")
    return release.facts.candidate
