"""Resources of slots and machine against their limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from cakravia_verify.monitor.web.releases import cut, number
from cakravia_verify.monitor.web.snapshot import ResourceUse, Standing
from cakravia_verify.settings.monitor import MonitorSettings

DAY: Final = 86_400.0


def usages_of(facts: Mapping[str, Any], settings: MonitorSettings) -> Iterator[ResourceUse]:
    """Yield what each slot and the machine use of their limits, and how long the certificate lasts."""
    platform: Mapping[str, Any] = facts.get("platform") or {}
    for slot in platform.get("slots") or ():
        yield from _of_slot(slot, settings.memory)
    if host := facts.get("host"):
        yield _usage("machine load", host["load"], host["cores"], unit="cores", warn_at=1.0)
        yield _usage("machine memory", host["memory"], 1.0, unit="share", warn_at=settings.memory)
        for name, share in list(host["disks"].items())[:10]:
            yield _usage(f"disk {cut(name, 80)}", share, 1.0, unit="share", warn_at=settings.disk)
    if (certificate := facts.get("certificate")) and (ends := number(certificate.get("ends_at"))) is not None:
        left = (ends - certificate["at"]) / DAY
        standing = Standing.GOOD if left >= settings.certificate_days else Standing.BAD
        yield ResourceUse("certificate", left, None, "days", standing, "left")


def _of_slot(slot: Mapping[str, Any], warn_at: float) -> Iterator[ResourceUse]:
    name = f"{slot['colour']} {cut(slot['version'], 60)}".strip()
    notes = []
    if slot.get("restarts"):
        notes.append(f"{slot['restarts']} restarts")
    if slot.get("is_out_of_memory"):
        notes.append("it ran out of memory")
    if not slot.get("is_running"):
        ended = "" if slot.get("exit_code") is None else f", exit status {slot['exit_code']}"
        notes.append(f"it does not run{ended}")
    note = ", ".join(notes)
    memory, limit = slot.get("memory"), slot.get("memory_limit")
    yield _usage(f"{name} memory", memory, limit, unit="bytes", warn_at=warn_at, note=note)
    yield _usage(f"{name} CPU", slot.get("cpu"), None, unit="cores", warn_at=1.0)


def _usage(what: str, value: Any, limit: Any, *, unit: str, warn_at: float, note: str = "") -> ResourceUse:
    used, most = number(value), number(limit)
    standing = Standing.UNKNOWN if used is None else Standing.GOOD
    if used is not None and most and used >= warn_at * most:
        standing = Standing.WARNING
    if note:
        standing = Standing.WARNING
    return ResourceUse(what, used, most, unit, standing, note)
