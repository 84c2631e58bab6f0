"""The folder of reports: can it be written, what is in a report, which one is the latest."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import Final

from cakravia_verify.errors import CakraviaError, UsageError
from cakravia_verify.system.files import sync_folder

LATEST: Final = "latest"


def require_writable(reports: Path) -> None:
    """A release can leave its report here. Nothing is left behind by asking, and no folder is made.

    Raises UsageError; permission bits alone do not tell (root, read-only mounts, full disks), so a file is tried.
    """
    if not reports.is_dir() and reports.exists():
        raise UsageError(f"{reports} is not a folder", remedy="move it away, or name another folder for the reports")
    latest = reports / LATEST
    if latest.exists() and not latest.is_symlink():
        raise UsageError(
            f"{latest} is in the way: it should be a link to the latest report", remedy=f"move {latest} away"
        )
    folder = next(place for place in (reports, *reports.absolute().parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"\0" * 4096)
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        raise UsageError(
            f"no report can be written to {reports}: {error.strerror}",
            remedy="mend its permissions or free space; a release that cannot leave its verdict is not begun",
        ) from error


def point_latest(reports: Path, folder: Path, *, name: str = LATEST) -> Path:
    """`reports`/latest, or the link of another `name`, leads to `folder`; relatively, so that reports may be moved.

    At every instant the link leads to the old report or to the new one. Raises CakraviaError where it cannot be made.
    """
    latest = reports / name
    draft = reports / f".{name}.{os.getpid()}.draft"
    try:
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()
        draft.symlink_to(os.path.relpath(folder.absolute(), reports.absolute()))
        try:
            draft.replace(latest)
        except OSError:
            draft.unlink(missing_ok=True)
            raise
        sync_folder(reports)
    except OSError as error:
        raise CakraviaError(
            f"{latest} cannot be pointed at {folder}: {error.strerror}",
            remedy=f"the report itself is in {folder}; move whatever is in the way of {latest}",
        ) from error
    return latest
