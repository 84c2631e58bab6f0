"""The state of a site as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cakravia_verify.errors import UsageError
from cakravia_verify.proxy.protocol import Admission, ProxyUsage

if TYPE_CHECKING:
    from cakravia_verify.site.site import Site, SiteState
    from cakravia_verify.slots import Slot


_STOPPED = {
    Admission.MAINTENANCE: "get 503: maintenance is on; end it with cakravia maintenance off",
    Admission.HOLD: "wait: a hold is on",
}


def state_lines(site: Site, state: SiteState) -> Iterator[str]:
    """Return the lines that `cakravia status` prints."""
    yield f"{site.settings.site.name}: {_summary(site, state)}"
    for slot in (state.slots.blue, state.slots.green):
        if slot is not None:
            role, place = _role_of(slot, state), f"{slot.digest[:19]}  {slot.address}"
            yield f"  {slot.colour:<6} {slot.version:<16} {role:<20} up {_uptime(slot)}   {place}"
    for colour in ("blue", "green"):
        if getattr(state.slots, colour) is None and not state.is_empty:
            yield f"  {colour:<6} empty"
    running = "running" if state.proxy.is_running else "not running"
    yield f"  proxy  {running}, {site.proxy.address}, switch by {site.settings.proxy.switch}"
    yield from _usage_lines(site.proxy.usage())
    yield from (f"  {each.name:<6} {each.version:<16} companion" for each in site.platform.companions.running())
    if state.proxy.admission is not Admission.OPEN:
        yield f"  users  {_STOPPED[state.proxy.admission]}"
    yield from (f"  tls    {line}" for line in _certificate_lines(site))
    if holder := site.lock.holder():
        yield f"  lock   held by {holder}"
    yield from (f"  drift: {each}" for each in state.drift)
    yield from (f"  note: {each}" for each in site.platform.notes())


def state_as_json(site: Site, state: SiteState) -> dict[str, Any]:
    """Return the object that `cakravia status --json` prints."""
    holder = site.lock.holder()
    return {
        "site": site.settings.site.name,
        "active": str(state.active.colour) if state.active else None,
        "version": state.active.version if state.active else None,
        "served": str(state.served) if state.served else None,
        "slots": {"blue": _slot_as_json(state.slots.blue), "green": _slot_as_json(state.slots.green)},
        "proxy": asdict(state.proxy) | {"address": str(site.proxy.address)},
        "usage": asdict(usage) if (usage := site.proxy.usage()) else None,
        "companions": {each.name: each.version for each in site.platform.companions.running()},
        "drift": list(state.drift),
        "notes": list(site.platform.notes()),
        "lock": asdict(holder) if holder else None,
    }


def _usage_lines(usage: ProxyUsage | None) -> Iterator[str]:
    if usage is None:
        return
    full = "warning: " if usage.is_nearly_full else ""
    yield f"  load   {full}{usage.connections:,} of {usage.limit:,} connections in the fullest nginx worker"
    if usage.stand_ins:
        counts = f"{usage.stand_ins_today:,} requests in 24 h, {usage.stand_ins:,} in all"
        yield f"  other  {counts}: answered by the other slot, because the active one could not"


def _certificate_lines(site: Site) -> Iterator[str]:
    """Return what the certificate's file says now, and what is wrong with it."""
    from cakravia_verify.proxy.certificate import read_certificate

    try:
        certificate = read_certificate(site.settings.proxy)
        if certificate is None:
            return
        from cakravia_verify.proxy.certificate_checks import inspect  # slow to import

        state = inspect(certificate, now=datetime.fromtimestamp(site.clock.wall(), UTC))
    except UsageError as error:
        yield f"problem: {error.message}"
        return
    yield f"{', '.join(state.names) or 'no name'}, until {state.ends:%Y-%m-%d}"
    yield from (f"problem: {each}" for each in state.problems)
    yield from (f"problem: it does not name {each}" for each in state.lacks(site.settings.host_names))
    yield from (f"warning: {each}" for each in state.warnings)


def _summary(site: Site, state: SiteState) -> str:
    if state.is_empty:
        return "nothing runs"
    if state.active and state.proxy.is_running and state.served is None and state.proxy.admission is Admission.OPEN:
        return f"users get no answer from {state.active} at {site.proxy.address.url}"
    if state.active and state.proxy.is_running:
        return f"{state.active.version} serves users on {state.active.colour} at {site.proxy.address.url}"
    return "users are not served"


def _role_of(slot: Slot, state: SiteState) -> str:
    if state.active and slot.colour is state.active.colour:
        return "active"
    return "idle, for failover" if state.proxy.has_failover else "idle"


def _uptime(slot: Slot) -> str:
    seconds = max(0, int(datetime.now(UTC).timestamp() - slot.started_at))
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3600)
    minutes, seconds = divmod(rest, 60)
    if days:
        return f"{days}d {hours}h"
    return f"{hours}h {minutes:02d}m" if hours else f"{minutes}m {seconds:02d}s"


def _slot_as_json(slot: Slot | None) -> dict[str, Any] | None:
    return None if slot is None else asdict(slot) | {"address": str(slot.address)}
