"""The traffic plan that the settings describe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from cakravia_verify.errors import SettingsError
from cakravia_verify.settings.headers import from_root, merged, with_files
from cakravia_verify.settings.models import Settings, SiteSettings, TrafficSettings
from cakravia_verify.settings.traffic_mix import MixRequest, MixStep, MixTable
from cakravia_verify.site.site import SERVED_SLOT_HEADER
from cakravia_verify.slots import Address
from cakravia_verify.traffic.plan.mix import Body, MixEntry
from cakravia_verify.traffic.plan.plan import TrafficPlan
from cakravia_verify.traffic.plan.profiles import DEFAULT_MIX, GENERIC_MIX


def plan_of(
    settings: TrafficSettings,
    *,
    address: Address,
    folder: Path,
    run: str,
    headers: Mapping[str, str],
    root: Path,
    site: SiteSettings | None = None,
    tls_address: Address | None = None,
    passing_header: Mapping[str, str] = MappingProxyType({}),
) -> TrafficPlan:
    """Return the plan that `[traffic]` describes. Its requests are those of a user of the site.

    `passing_header` gets the traffic past maintenance. If users come by https and the proxy speaks TLS (`tls_address`),
    so does the traffic. Raises SettingsError if the locustfile or the file of a header is missing.
    """
    if settings.locustfile and not (root / settings.locustfile).is_file():
        raise SettingsError(
            f"[traffic] locustfile: there is no {root / settings.locustfile}",
            remedy="write its path from the folder of cakravia.toml, or leave it empty",
        )
    site = site or SiteSettings()
    is_tls = site.scheme == "https" and tls_address is not None
    plan = TrafficPlan(
        url=f"https://{tls_address}" if is_tls else address.url,
        host=site.host,
        headers=_from_root(merged(site.user_headers, settings.headers, passing_header), root),
        # The certificate belongs to the proxy, and is no part of the release. It may be one for tests.
        tls_verify=False,
        records=str(folder),
        run=run,
        mix=mix_of(settings, root=root),
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
        environment=settings.locustfile_environment,
        processes=settings.processes,
        web_ui=settings.web_ui,
    )
    requests = [request for entry in plan.mix for request in (entry, *entry.steps)]
    for _, value in (*plan.headers, *(header for request in requests for header in request.headers)):
        with_files(value)  # refuses a missing file before the traffic starts
    return plan


def mix_of(settings: TrafficSettings, *, root: Path) -> tuple[MixEntry, ...]:
    """Return the kinds of requests that `[traffic]` describes."""
    if settings.profile == "reference":
        return DEFAULT_MIX
    if settings.profile == "generic":
        return GENERIC_MIX
    return tuple(_entry_of_table(table, root) for table in settings.mix)


def _entry_of_table(table: MixTable, root: Path) -> MixEntry:
    steps = tuple(_entry_of_step(step, root) for step in table.steps)
    entry = _entry_of(table, root)
    return replace(entry, weight=table.weight, stream=table.stream, every=table.every, steps=steps)


def _entry_of_step(step: MixStep, root: Path) -> MixEntry:
    return replace(_entry_of(step, root), pause=step.pause)


def _entry_of(request: MixRequest, root: Path) -> MixEntry:
    return MixEntry(
        name=request.title,
        method=request.method,
        path=request.path,
        headers=_from_root(request.headers, root),
        body=Body(**request.body.model_dump()),
        expected=request.expect,
        verify=request.verify,
        contains=request.contains,
        timeout=request.timeout,
    )


def _from_root(headers: Mapping[str, str], root: Path) -> tuple[tuple[str, str], ...]:
    return tuple((name, from_root(value, root)) for name, value in headers.items())


def headers_of(settings: Settings) -> dict[str, str]:
    """Return the names of the headers in which answers name their slot and version."""
    contract = settings.contract
    return {"slot": contract.slot_header, "version": contract.version_header, "served": SERVED_SLOT_HEADER}
