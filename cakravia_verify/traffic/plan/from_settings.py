"""The traffic plan that the settings describe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from cakravia_verify.errors import SettingsError
from cakravia_verify.settings.models import Settings, TrafficSettings
from cakravia_verify.settings.traffic_mix import MixRequest, MixStep, MixTable
from cakravia_verify.site.site import SERVED_SLOT_HEADER
from cakravia_verify.slots import Address
from cakravia_verify.traffic.plan.mix import Body, MixEntry
from cakravia_verify.traffic.plan.plan import TrafficPlan
from cakravia_verify.traffic.plan.profiles import DEFAULT_MIX, GENERIC_MIX


def plan_of(
    settings: TrafficSettings, *, address: Address, folder: Path, run: str, headers: Mapping[str, str], root: Path
) -> TrafficPlan:
    """Return the plan that `[traffic]` describes. Raises SettingsError if the locustfile is missing."""
    if settings.locustfile and not (root / settings.locustfile).is_file():
        raise SettingsError(
            f"[traffic] locustfile: there is no {root / settings.locustfile}",
            remedy="write its path from the folder of cakravia.toml, or leave it empty",
        )
    return TrafficPlan(
        url=address.url,
        records=str(folder),
        run=run,
        mix=mix_of(settings),
        users=settings.users,
        rate=max((point.rate for point in settings.curve), default=float(settings.rate)),
        curve=tuple((point.at, point.rate) for point in settings.curve),
        arrivals=settings.arrivals,
        seed=settings.seed,
        round_trip=float(settings.round_trip),
        timeout=float(settings.timeout),
        slot_header=headers["slot"],
        version_header=headers["version"],
        served_slot_header=headers["served"],
        locustfile=str(root / settings.locustfile) if settings.locustfile else "",
        locustfile_users=settings.locustfile_users,
        processes=settings.processes,
        web_ui=settings.web_ui,
    )


def mix_of(settings: TrafficSettings) -> tuple[MixEntry, ...]:
    """Return the kinds of requests that `[traffic]` describes."""
    if settings.profile == "reference":
        return DEFAULT_MIX
    if settings.profile == "generic":
        return GENERIC_MIX
    return tuple(map(_entry_of_table, settings.mix))


def _entry_of_table(table: MixTable) -> MixEntry:
    steps = tuple(map(_entry_of_step, table.steps))
    entry = _entry_of(table)
    return replace(entry, weight=table.weight, stream=table.stream, every=table.every, steps=steps)


def _entry_of_step(step: MixStep) -> MixEntry:
    return replace(_entry_of(step), pause=step.pause)


def _entry_of(request: MixRequest) -> MixEntry:
    return MixEntry(
        name=request.title,
        method=request.method,
        path=request.path,
        headers=tuple(request.headers.items()),
        body=Body(**request.body.model_dump()),
        expected=request.expect,
        verify=request.verify,
        contains=request.contains,
        timeout=request.timeout,
    )


def headers_of(settings: Settings) -> dict[str, str]:
    """Return the names of the headers in which answers name their slot and version."""
    contract = settings.contract
    return {"slot": contract.slot_header, "version": contract.version_header, "served": SERVED_SLOT_HEADER}
