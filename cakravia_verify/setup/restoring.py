"""Put an archive of `cakravia backup` back. Nothing that is newer than the archive is lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from cakravia_verify.errors import UsageError
from cakravia_verify.settings.models import Settings
from cakravia_verify.setup.backup import HISTORY, SETTINGS, VERDICTS, Backup
from cakravia_verify.system.files import write_atomically

KEPT_ENDING: Final = ".before-restore"


@dataclass(frozen=True)
class RestoredFile:
    """One file to write. `replaces`: another content is there, which is kept beside it."""

    path: Path
    content: bytes
    replaces: bool


@dataclass(frozen=True)
class RestorePlan:
    """What a restore writes, and what it leaves as it is."""

    files: tuple[RestoredFile, ...]
    kept: tuple[str, ...]


def plan_restore(backup: Backup, folder: Path, settings: Settings) -> RestorePlan:
    """Return what to write into the folder of the site. Changes nothing.

    `settings` are those of the archive: they say where state and reports are. Raises UsageError for an archive of
    another site.
    """
    if settings.site.name != backup.site:
        raise UsageError(
            f"{backup.path.name} is a backup of site {backup.site}, and not of {settings.site.name}",
            remedy="restore it in the folder of that site",
        )
    kept: list[str] = []
    wanted = [(folder / _plain(name), content) for name, content in backup.of(SETTINGS).items()]
    wanted += [
        (settings.reports / PurePosixPath(_plain(name)), content)
        for name, content in backup.of(VERDICTS).items()
        if not (settings.reports / PurePosixPath(_plain(name))).exists()
    ]
    history = backup.of(HISTORY).get(settings.history.name, b"")
    if why := _why_history_stays(settings.history, history):
        kept.append(f"{settings.history}: {why}")
    elif history:
        wanted.append((settings.history, history))
    files = tuple(
        RestoredFile(path, content, replaces=path.exists())
        for path, content in wanted
        if not (path.exists() and path.read_bytes() == content)
    )
    return RestorePlan(files, tuple(kept))


def restore(plan: RestorePlan) -> Iterator[str]:
    """Write the files. Yields one line for each. A replaced file is kept as *.before-restore."""
    for file in plan.files:
        if file.replaces:
            kept = file.path.with_name(file.path.name + KEPT_ENDING)
            file.path.replace(kept)
            yield f"{file.path} is restored; the file before is {kept.name}"
        else:
            yield f"{file.path} is restored"
        write_atomically(file.path, file.content)


def _why_history_stays(path: Path, archived: bytes) -> str:
    """Return why the present history is right, "" if the archived one has everything that the present one has."""
    if not path.exists():
        return ""
    present = path.read_bytes()
    if archived.startswith(present):
        return ""
    return (
        "it is as new as the backup's, or newer, and stays"
        if present.startswith(archived)
        else ("it has entries that the backup lacks, and stays; move it away first if it is damaged")
    )


def _plain(name: str) -> str:
    """Return the name if it stays in its folder. An archive is a file of strangers until then."""
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts:
        raise UsageError(f"the backup has a file {name!r}, which leaves its folder", remedy="name another backup")
    return name
