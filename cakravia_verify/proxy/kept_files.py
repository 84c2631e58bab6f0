"""The files that the proxy serves itself while a slot is active, because the version in it lacks them."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from cakravia_verify.errors import ProxyError
from cakravia_verify.slots import Colour
from cakravia_verify.system.files import make_folder

SETS = "sets"


def set_name(colour: Colour) -> str:
    """Return a new name for a set of files. The slot's name becomes a symbolic link to it."""
    return f"{SETS}/{colour}-{secrets.token_hex(4)}"


def replace_files(folder: Path, colour: Colour, files: Mapping[str, Path]) -> None:
    """Replace the slot's files, by URL path, in one rename(2). Raises ProxyError.

    The files are hard links if both folders are on one disk: they take no space then.
    """
    name = set_name(colour)
    try:
        for path, source in files.items():
            place = folder / name / path.lstrip("/")
            make_folder(place.parent)
            try:
                place.hardlink_to(source)
            except OSError:
                shutil.copyfile(source, place)
        make_folder(folder / name)
        link = folder / f".{colour}.link"
        link.unlink(missing_ok=True)
        link.symlink_to(name)
        link.replace(folder / colour)
        for each in (folder / SETS).iterdir():
            if each.name.startswith(f"{colour}-") and each != folder / name:
                shutil.rmtree(each, ignore_errors=True)
    except OSError as error:
        raise ProxyError(
            f"the kept files of {colour} cannot be written to {folder}: {error.strerror}",
            remedy="free space on the disk, or shorten [proxy] assets_keep; users are where they were",
        ) from error
