"""The preflight of a rollback: one check for each thing it needs. Nothing is changed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cakravia_verify.command_options import with_options
from cakravia_verify.errors import CakraviaError, JournalError, LockHeld
from cakravia_verify.history.hooks import migrations_since
from cakravia_verify.history.releases import STUCK, flaw_of, unfinished
from cakravia_verify.history.running_release import highest_token, runs_still
from cakravia_verify.release.conditions import smoke_trouble
from cakravia_verify.report.folder import place_of_rollback_reports
from cakravia_verify.site.site import SERVED_SLOT_HEADER, Site, SiteState
from cakravia_verify.slots import Artifact, Slot
from cakravia_verify.traffic.plan.from_settings import plan_of

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True)
class PreflightCheck:
    """The result of one check: what was found (`detail`), and what to do if it failed (`remedy`)."""

    name: str
    is_ok: bool
    detail: str
    remedy: str = ""

    @property
    def command(self) -> str:
        """The remedy, with the options of the present command line."""
        return with_options(self.remedy)


def site_checks(site: Site, now: SiteState, *, repaired: SiteState) -> Iterator[PreflightCheck]:
    """Check what every rollback needs. `repaired` is the site as it will be after the repair that comes first."""
    yield _lock(site)
    yield _history(site)
    yield from _tools(site)
    yield _users(now, repaired)


def target_checks(site: Site, state: SiteState, target: Artifact, *, is_warm: bool) -> Iterator[PreflightCheck]:
    """Check what a rollback to this artifact needs."""
    intact = f"{target.digest[:19]}, unchanged since its build"
    yield _checked("its artifact is intact", lambda: site.platform.verify(target), detail=intact)
    yield _slot(site, state, target, is_warm=is_warm)
    if lines := migrations_in_words(site, target.version):
        yield PreflightCheck("migrations stay", is_ok=True, detail="; ".join(lines))


def migrations_in_words(site: Site, version: str) -> list[str]:
    """Return one line for each migration that a rollback to this version leaves in place."""
    try:
        found = migrations_since(site.journal.entries(), version)
    except JournalError:
        return []  # the check of the history reports it
    return [
        f"migration '{run.name}' of {run.version} ran on {run.at[:10]} and is not undone: {version} must work with it"
        for run in found
    ]


def _lock(site: Site) -> PreflightCheck:
    name = "the site is free"
    holder = site.lock.holder()
    if holder is not None:
        remedy = "wait for it to end, or give the rollback --wait 60"
        return PreflightCheck(name, is_ok=False, detail=f"held by {holder}", remedy=remedy)
    try:
        highest_token(site.journal)
    except LockHeld as error:
        return PreflightCheck(name, is_ok=False, detail=error.message, remedy=error.remedy)
    except JournalError:
        pass  # the check of the history reports it
    return PreflightCheck(name, is_ok=True, detail="no process holds the lock")


def _history(site: Site) -> PreflightCheck:
    name = "the history is whole"
    if flaw := flaw_of(site.journal):
        remedy = "keep a copy of the file, then repair that line or the permissions"
        return PreflightCheck(name, is_ok=False, detail=flaw, remedy=remedy)
    if site.journal.path.exists() and not os.access(site.journal.path, os.W_OK):
        return PreflightCheck(
            name, is_ok=False, detail="the file cannot be written", remedy=f"make {site.journal.path} writable"
        )
    left = unfinished(site.journal.entries())
    if left and not runs_still(left[0]) and site.lock.holder() is None:
        what = "cannot be undone" if left[0].outcome == STUCK else "was interrupted; it is not finished and not undone"
        return PreflightCheck(
            name, is_ok=False, detail=f"release {left[0].intent.release} {what}", remedy="cakravia recover"
        )
    detail = "; ".join(["readable and writable, and every release is finished or undone", *site.journal.scars()])
    return PreflightCheck(name, is_ok=True, detail=detail)


def _tools(site: Site) -> Iterator[PreflightCheck]:
    for name, act in (
        ("slots can run", site.platform.check),
        ("the proxy can run", site.proxy.check),
        ("traffic can be planned", lambda: _plan_traffic(site)),
        ("a report can be written", lambda: place_of_rollback_reports(site.settings.reports)),
    ):
        yield _checked(name, act, detail="no problem found")


def _plan_traffic(site: Site) -> None:
    settings = site.settings
    contract = settings.contract
    headers = {"slot": contract.slot_header, "version": contract.version_header, "served": SERVED_SLOT_HEADER}
    plan_of(
        settings.traffic,
        address=site.proxy.address,
        folder=settings.reports,
        run="unnamed",
        headers=headers,
        root=settings.root,
        site=settings.site,
        tls_address=site.proxy.tls_address,
    )


def _users(now: SiteState, repaired: SiteState) -> PreflightCheck:
    name = "users are served"
    drift = "; ".join(now.drift)
    if repaired is not now:
        return PreflightCheck(
            name, is_ok=True, detail=f"will be repaired first, with users on {repaired.active}: {drift}"
        )
    if now.proxy.is_running and now.served is None and not now.is_empty:
        # The slot may become healthy while the rollback waits. The rollback works without it as well.
        return PreflightCheck(name, is_ok=True, detail=f"a repair will be tried first: {drift}")
    if now.proxy.is_running and now.served is not now.proxy.chosen:
        return PreflightCheck(name, is_ok=True, detail=f"will be repaired first, with users on {now.active}: {drift}")
    if not now.proxy.is_running:
        return PreflightCheck(name, is_ok=False, detail="the proxy is not running", remedy="cakravia up")
    if now.drift:
        return PreflightCheck(name, is_ok=False, detail=drift, remedy="cakravia recover")
    return PreflightCheck(name, is_ok=True, detail=f"{now.active} serves them; proxy, slots and history agree")


def _slot(site: Site, state: SiteState, target: Artifact, *, is_warm: bool) -> PreflightCheck:
    colour, idle = state.slots.idle_colour, state.slots.idle
    name = f"{colour} is ready for it"
    if not is_warm or idle is None:
        there = f"{idle} is replaced" if idle else "it is empty"
        detail = f"cold: {there}, {target.version} is started"
        return _checked(name, lambda: site.platform.require_startable(target), detail=detail)
    remedy = f"read cakravia logs {colour}; cakravia deploy {target.version} starts it again"
    if ill := [reading for reading in site.readings(idle) if not reading.is_healthy]:
        return PreflightCheck(name, is_ok=False, detail=f"{idle} is warm but not healthy: {ill[0]}", remedy=remedy)
    if trouble := next(_safe_smoke_trouble(site, idle), ""):
        return PreflightCheck(name, is_ok=False, detail=f"{idle} is warm but fails {trouble}", remedy=remedy)
    return PreflightCheck(name, is_ok=True, detail=f"warm: {idle} is healthy")


def _safe_smoke_trouble(site: Site, slot: Slot) -> Iterator[str]:
    """Send the smoke requests whose method only reads. Yields what is wrong with each answer."""
    for request in site.settings.release.smoke:
        if request.method in SAFE_METHODS and (trouble := smoke_trouble(site, slot, request)):
            yield f"smoke request {request.method} {request.path}: {trouble}"


def _checked(name: str, act: Callable[[], object], *, detail: str) -> PreflightCheck:
    try:
        act()
    except CakraviaError as error:
        return PreflightCheck(name, is_ok=False, detail=error.message, remedy=error.remedy)
    return PreflightCheck(name, is_ok=True, detail=detail)
