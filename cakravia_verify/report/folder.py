"""The folder of reports: whether it can be written, and the link to the latest report."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from pathlib import Path
from typing import Final

from cakravia_verify.errors import CakraviaError, UsageError
from cakravia_verify.system.files import sync_folder

LATEST: Final = "latest"
MEMORY: Final = Path("/dev/shm")  # noqa: S108 - the folder in it is new
# How every run names its folder.
_RUN: Final = re.compile(r"\d{8}-\d{6}-")


def runs_in(reports: Path) -> tuple[Path, ...]:
    """Return the folders of runs, oldest name first. Another folder in the reports is not ours."""
    if not reports.is_dir():
        return ()
    return tuple(
        sorted(each for each in reports.iterdir() if each.is_dir() and not each.is_symlink() and _is_run(each))
    )


def _is_run(folder: Path) -> bool:
    return _RUN.match(folder.name) is not None or (folder / "verdict.json").is_file()


def require_writable(reports: Path) -> None:
    """Check that a release can write its report here. No file or folder stays behind.

    Raises UsageError. Permission bits are not enough (root, read-only mounts, full disks), so the check writes a file.
    """
    if not reports.is_dir() and reports.exists():
        raise UsageError(f"{reports} is not a folder", remedy="move it away, or name another folder for the reports")
    latest = reports / LATEST
    if latest.exists() and not latest.is_symlink():
        raise UsageError(
            f"{latest} exists already: it must be a link to the latest report", remedy=f"move {latest} away"
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
            remedy="correct its permissions or free space; no release begins that cannot write its verdict",
        ) from error


def place_of_rollback_reports(reports: Path) -> Path:
    """Return where a rollback can write its report: a full disk must not keep users on a bad version.

    It is `reports`, or else memory or the folder of temporary files. Raises UsageError if none of them can be written.
    """
    try:
        require_writable(reports)
    except UsageError:
        for place in (MEMORY, Path(tempfile.gettempdir())):
            with contextlib.suppress(UsageError):
                require_writable(place)
                return place
        raise
    return reports


def point_latest(reports: Path, folder: Path, *, name: str = LATEST) -> Path:
    """Point `reports`/latest, or the link of another `name`, at `folder`. The link is relative: reports can be moved.

    At every instant the link leads to the old report or to the new one. Raises CakraviaError if it cannot be made.
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
            remedy=f"the report itself is in {folder}; move {latest} away",
        ) from error
    return latest
