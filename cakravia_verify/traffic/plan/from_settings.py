"""The traffic plan that the settings describe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cakravia_verify.errors import (
    SettingsError,
)
from cakravia_verify.settings.models import Settings, TrafficSettings
from cakravia_verify.site.site import SERVED_SLOT_HEADER
from cakravia_verify.slots import Address
from cakravia_verify.traffic.plan.mix_tables import mix_of
from cakravia_verify.traffic.plan.plan import TrafficPlan


def plan_of(
    settings: TrafficSettings, *, address: Address, folder: Path, run: str, headers: Mapping[str, str], root: Path
) -> TrafficPlan:
    """The plan that cakravia.toml's [traffic] describes. Raises SettingsError naming the key."""
    if settings.locustfile and not (root / settings.locustfile).is_file():
        raise SettingsError(
            f"[traffic] locustfile: there is no {root / settings.locustfile}",
            remedy="name your Locust file from the folder of cakravia.toml, or leave it empty",
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


def headers_of(settings: Settings) -> dict[str, str]:
    """The names of the headers by which answers tell their slot and version."""
    contract = settings.contract
    return {"slot": contract.slot_header, "version": contract.version_header, "served": SERVED_SLOT_HEADER}
