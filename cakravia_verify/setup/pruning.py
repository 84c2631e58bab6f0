"""What a site may lose: old reports, versions that no rollback needs, logs that were set aside."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cakravia_verify.history.releases import last_holding, records
from cakravia_verify.platforms.protocol import surplus_of
from cakravia_verify.report.folder import runs_in
from cakravia_verify.site.site import Site
from cakravia_verify.slots import Artifact

DAY: Final = 86_400.0


@dataclass(frozen=True)
class PruneRules:
    """Reports older than `days` go, and then the oldest ones until all take at most `size` bytes. 0: no such rule."""

    days: float = 90.0
    size: int = 0


@dataclass(frozen=True)
class Removable:
    """One thing that may go, and why. `path` is None for a version, which only its platform can remove."""

    what: str
    why: str
    size: int
    path: Path | None = None


def removable(site: Site, rules: PruneRules) -> tuple[Removable, ...]:
    """Return what the rules permit to remove. Changes nothing.

    The newest report and the report of the version that serves users always stay.
    """
    return (*_reports(site, rules), *_logs(site), *_versions(site))


def remove(site: Site, found: tuple[Removable, ...]) -> Iterator[str]:
    """Remove these things. Yields one line for each. Call it with the lock held."""
    for each in found:
        if each.path is None:
            continue
        if each.path.is_dir():
            shutil.rmtree(each.path)
        else:
            each.path.unlink(missing_ok=True)
        yield f"removed {each.what}"
    for artifact in _prune_versions(site) if any(each.path is None for each in found) else ():
        yield f"removed version {artifact.version}"


def _reports(site: Site, rules: PruneRules) -> Iterator[Removable]:
    reports = site.settings.reports
    kept = {(reports / "latest").resolve()}
    if active := last_holding(site.journal.entries()):
        kept.add((reports / active.intent.release).resolve())
    ages = sorted(((each.stat().st_mtime, each) for each in runs_in(reports)), reverse=True)
    now, total = site.clock.wall(), 0
    for changed_at, folder in ages:
        size = _size_of(folder)
        total += size
        if folder.resolve() in kept:
            continue
        age = (now - changed_at) / DAY
        if rules.days and age > rules.days:
            yield Removable(f"report {folder.name}", f"{age:.0f} days old", size, folder)
        elif rules.size and total > rules.size:
            yield Removable(f"report {folder.name}", "reports take more than the size", size, folder)


def _logs(site: Site) -> Iterator[Removable]:
    """Yield logs that were renamed because they grew too long, and histories that were put aside."""
    state = site.settings.state
    for pattern, why in (("**/*.log.1", "a log that was set aside"), ("*.displaced-*", "a history that was put aside")):
        for path in sorted(state.glob(pattern)):
            if path.is_file():
                yield Removable(path.relative_to(state).as_posix(), why, path.stat().st_size, path)


def _versions(site: Site) -> Iterator[Removable]:
    keep, promoted = _needed(site)
    surplus = surplus_of(site.platform.retained(), retain=site.settings.release.retain, promoted=promoted)
    for artifact in surplus:
        if artifact.digest not in keep:
            folder = Path(artifact.location)
            size = _size_of(folder) if folder.is_absolute() and folder.is_dir() else 0
            yield Removable(f"version {artifact.version}", f"beyond [release] retain, {artifact.digest[:19]}", size)


def _prune_versions(site: Site) -> tuple[Artifact, ...]:
    keep, promoted = _needed(site)
    return site.platform.prune(keep=keep, retain=site.settings.release.retain, promoted=promoted)


def _needed(site: Site) -> tuple[set[str], set[str]]:
    """Return the digests that slots run, and those that were promoted."""
    state = site.observe()
    running = {slot.digest for slot in (state.slots.blue, state.slots.green) if slot}
    past = records(site.journal.entries())
    before = {record.intent.active_digest for record in past[-1:]} - {""}
    return running | before, {record.digest for record in past if record.holds_users} - {""}


def _size_of(folder: Path) -> int:
    return sum((Path(place) / name).lstat().st_size for place, _, files in os.walk(folder) for name in files)
