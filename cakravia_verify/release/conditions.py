"""The conditions of the steps: a slot is healthy and names itself, and users reach the slot that they should."""

from __future__ import annotations

from collections.abc import Callable

from cakravia_verify.errors import CakraviaError, NotConfirmed, NotHealthy, PlatformError
from cakravia_verify.foreign_text import LONGEST_NAME, one_line
from cakravia_verify.health.models import Reading
from cakravia_verify.release.machine import Release
from cakravia_verify.settings.models import SmokeRequest
from cakravia_verify.site.site import Site
from cakravia_verify.slots import Address, Artifact, Colour, Slot
from cakravia_verify.system.clock import Deadline, poll


def refuse_the_slot_of_users(site: Site, colour: Colour) -> None:
    """Raise PlatformError if the proxy sends users to this slot."""
    state = site.proxy.observe()
    if state.is_running and state.chosen is colour:
        raise PlatformError(
            f"{colour} is the slot that users are sent to; it is neither replaced nor stopped",
            remedy="cakravia status shows the slot that serves; cakravia recover repairs an interrupted release",
        )


def take_round(release: Release, slot: Slot) -> tuple[Reading, ...]:
    """Read every endpoint once. Raises NotHealthy if the process ended or an answer names another slot or version."""
    running = release.site.platform.observe(slot.colour)
    if running is None or running.identity != slot.identity:
        log = release.site.platform.logs(slot.colour, lines=5).strip()
        raise NotHealthy(
            f"{slot} ended by itself{f'; last lines of its log: {log}' if log else ''}",
            remedy=f"read its log: cakravia logs {slot.colour}",
        )
    readings = release.site.readings(slot)
    for reading in readings:
        if reading.is_healthy and not reading.names(slot=str(slot.colour), version=slot.version):
            raise NotHealthy(f"{slot} does not say that it is {slot}: {reading}")
    if all(reading.is_healthy for reading in readings):
        release.facts.good_rounds += 1
    else:
        release.facts.bad_rounds += 1
    return readings


def require_healthy(site: Site, slot: Slot) -> None:
    """Raise NotHealthy, with the first bad reading, unless every endpoint of the slot is healthy."""
    readings = site.readings(slot)
    if bad := [reading for reading in readings if not reading.is_healthy]:
        raise NotHealthy(f"{slot} is not healthy: {bad[0]}", remedy=f"read its log: cakravia logs {slot.colour}")


def smoke_trouble(site: Site, slot: Slot, request: SmokeRequest) -> str:
    """Return what is wrong with the slot's answer to a smoke request, '' if nothing is."""
    return _smoke_trouble(site, slot, request, address=slot.address, path=request.path)


def smoke_trouble_through_proxy(site: Site, slot: Slot, request: SmokeRequest) -> str:
    """Return what is wrong with the slot's answer as the proxy passes it on, '' if nothing is. Users stay in place.

    The request comes to the plain address, also on a site with TLS. The proxy tells the slot the scheme of the site.
    """
    path = site.proxy.path_to(slot.colour) + request.path
    return _smoke_trouble(site, slot, request, address=site.proxy.address, path=path)


def _smoke_trouble(site: Site, slot: Slot, request: SmokeRequest, *, address: Address, path: str) -> str:
    contract = site.settings.contract
    answer = site.prober.request(address, request.method, path, body=request.body.encode(), headers=request.headers)
    if answer.status_code not in request.expect:
        codes = " or ".join(str(code) for code in request.expect)
        told = f": {answer.first_line}" if answer.first_line else ""
        return f"{answer.problem or f'status {answer.status_code}'}, expected {codes}{told}"
    if request.contains and request.contains.encode() not in answer.body:
        return f"the answer does not contain {request.contains!r}"
    named = {
        "slot": (answer.headers.get(contract.slot_header), str(slot.colour)),
        "version": (answer.headers.get(contract.version_header), slot.version),
    }
    for label, (answered, expected) in named.items():
        if answered not in (None, expected):
            return f"answered by {label} {one_line(answered or '', longest=LONGEST_NAME)!r} instead of {expected!r}"
    return ""


def is_healthy(site: Site, slot: Slot) -> bool:
    """Return whether every endpoint of the slot is healthy now."""
    return all(reading.is_healthy for reading in site.readings(slot))


def require_its_name(release: Release, slot: Slot, readings: tuple[Reading, ...]) -> None:
    """Raise NotHealthy if an application with a deployment status does not name its slot and its version.

    Another program may listen on that port. Without a deployment status, the proxy's record of the answering slot
    decides.
    """
    contract = release.site.settings.contract
    if not contract.status:
        return
    for what, named, places in (
        ("slot", any(reading.slot for reading in readings), (contract.slot_field, contract.slot_header)),
        ("version", any(reading.version for reading in readings), (contract.version_field, contract.version_header)),
    ):
        if any(places) and not named:
            raise NotHealthy(
                f"{slot} answers, but nothing in its answers names its {what}: {readings[0]}",
                remedy=f"name it in {' or '.join(filter(None, places))}. If the application cannot, set "
                f'status = "", or {what}_field = "" and {what}_header = "", in [contract]',
            )


def require_users_on(site: Site, colour: Colour) -> None:
    """Raise NotConfirmed unless the proxy sends users to this slot and the slot is healthy."""
    state, slot = site.proxy.observe(), site.platform.observe(colour)
    readings = site.readings(slot) if slot else ()
    if slot and not all(reading.is_healthy for reading in readings):
        readings = site.readings(slot)  # as in the bake, one bad round is tolerated
    if not (state.is_running and state.chosen is colour and slot and all(each.is_healthy for each in readings)):
        where = state.chosen if state.is_running else "no slot, because it does not run"
        raise NotConfirmed(
            f"{slot or colour} cannot be promoted: the proxy sends users to {where}, "
            f"and the candidate {'is gone' if slot is None else 'says ' + complaints(readings)}",
            remedy="cakravia status shows the slot that serves",
        )


def slot_to_return_to(release: Release, colour: Colour, *, must_be_healthy: bool) -> Slot:
    """Return the slot that users return to, with the version it ran before. Restart it if it died.

    If users are there already, or it was unhealthy before the release, the caller passes `must_be_healthy=False`.
    """
    site, intent = release.site, release.intent
    running = site.platform.observe(colour)
    if running is not None and not was_seen(release, running):
        raise PlatformError(
            f"{running} runs where this release saw {intent.active_version}: users do not go back to it",
            remedy="cakravia status shows the slot that serves; deploy a version that works",
        )
    if running is not None and not must_be_healthy:
        return running
    slot = running or restart_slot(release, colour, version=intent.active_version, digest=intent.active_digest)
    poll(
        lambda: is_healthy(site, slot),
        deadline=release.deadline(f"{slot} is healthy before users return", site.settings.health.deadline),
        every=site.settings.health.interval,
        observed=lambda: complaints(site.readings(slot)),
    )
    return slot


def was_seen(release: Release, slot: Slot) -> bool:
    """Return whether the slot runs what this release found active. It acts on nothing that another one started."""
    intent = release.intent
    return (slot.version, slot.digest) == (intent.active_version, intent.active_digest)


def restart_slot(release: Release, colour: Colour, *, version: str, digest: str) -> Slot:
    """Start a slot that died again, from the retained artifact of that digest. Raises PlatformError if it is gone."""
    site = release.site
    kept = kept_artifact(site, version=version, digest=digest)
    if kept is None:
        raise PlatformError(
            f"{colour} no longer runs, and {version} is not retained",
            remedy="users stay where they are; deploy a version that works",
        )
    deadline = release.deadline(f"{colour} starts again", site.settings.app.grace + site.settings.health.deadline)
    return site.platform.start(colour, kept, release=release.id, deadline=deadline)


def kept_artifact(site: Site, *, version: str, digest: str) -> Artifact | None:
    """Return the retained artifact of that digest, None if there is none.

    Two versions may have one digest; the one with the right name comes first.
    """
    found = [artifact for artifact in site.platform.retained() if artifact.digest == digest]
    return min(found, key=lambda artifact: artifact.version != version, default=None)


def require_confirmed(site: Site, slot: Slot, *, count: int, pause: Callable[[float], None] | None = None) -> None:
    """Wait until `count` answers in a row, through the proxy, name the slot and its version.

    `pause` waits between answers that do not, and may raise. Raises NotConfirmed after `[release] confirm_timeout`. No
    request is sent if `count` is 0.
    """
    pause = pause or site.clock.sleep
    deadline = Deadline(f"users reach {slot}", site.settings.release.confirm_timeout, clock=site.clock)
    streak, last = 0, "no answer"
    while streak < count:
        served = site.serving()
        right = served.slot is slot.colour and served.version in (None, slot.version) and not served.problem
        streak = streak + 1 if right else 0
        last = served.problem or f"{served.slot} {served.version or ''} answers"
        if not right:
            if deadline.is_over:
                raise NotConfirmed(
                    f"users do not reach {slot}: through the proxy {last}",
                    remedy="cakravia status shows the slot that serves",
                )
            pause(0.02)


def is_confirmed(site: Site, slot: Slot, *, count: int) -> bool:
    """Return whether `count` answers in a row name the slot, within `[release] confirm_timeout`."""
    try:
        require_confirmed(site, slot, count=count)
    except NotConfirmed:
        return False
    return True


def wait_until_drained(
    release: Release, colour: Colour, *, seconds: float, pause: Callable[[float], None] | None = None
) -> int:
    """Wait until a slot that gets no new requests has none in flight. Returns how many are left after `seconds`."""
    site = release.site
    pause = pause or site.clock.sleep
    pause(site.settings.release.drain_minimum)
    deadline: Deadline = release.deadline(f"{colour} drains", max(seconds - site.settings.release.drain_minimum, 0))
    while left := requests_in_flight(site, colour):
        if deadline.is_over:
            return left
        pause(0.05)
    return 0


def requests_in_flight(site: Site, colour: Colour) -> int:
    """Return how many requests are in flight on the slot, at most."""
    slot = site.platform.observe(colour)
    if slot is None:
        return 0
    counts = [reading.in_flight for reading in site.readings(slot) if reading.in_flight is not None]
    # The application's own count is exact, but may include the probe. Open connections are an upper bound.
    return min([*counts, site.platform.connections(colour)])


def complaints(readings: tuple[Reading, ...]) -> str:
    """Return the bad readings as text."""
    return "; ".join(str(reading) for reading in readings if not reading.is_healthy) or "all readings are good"


def write_failures(site: Site, slot: Slot) -> tuple[str, ...]:
    """Return one line for each kind of write that failed in the slot. An unreadable log has none."""
    try:
        return site.platform.write_failures(slot.colour)
    except CakraviaError:
        return ()
