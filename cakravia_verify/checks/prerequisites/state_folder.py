"""The folder of the site's state: owner, permissions, file system."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cakravia_verify.checks.model import CheckFinding, Ground, SiteCheck, ok, problem, warning

VOLATILE: Final = ("tmpfs", "ramfs")
# Locks of one machine may not hold on another.
SHARED: Final = ("nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs")


def _find(ground: Ground) -> Iterator[CheckFinding]:
    state = ground.settings.state
    if re.search(r"""["'$;{}\s\\]""", str(state)) and ground.settings.site.platform == "process":
        yield problem(
            f"[site] state: nginx cannot use the path {str(state)!r}",
            needed="a path without spaces, quotes, '$', ';', braces and backslashes",
            remedy="set [site] state to another folder",
        )
    if not state.exists():
        yield from _parent_of(state)
        return
    if not state.is_dir():
        yield problem(
            f"[site] state: {state} is a file",
            needed="a folder, or nothing yet",
            remedy=f"move {state} away, or set [site] state to another folder",
        )
        return
    yield from _ownership(ground, state)
    kind = ground.machine.file_system(state)
    if kind in VOLATILE:
        yield warning(
            f"[site] state: {state} is on {kind}",
            needed="a disk: after a reboot the history and all versions for a rollback would be gone",
            remedy="set [site] state to a folder on a disk",
        )
    if kind in SHARED:
        yield warning(
            f"[site] state: {state} is on {kind}",
            needed="a local disk: a lock on a shared disk may not keep a second release away",
            remedy="set [site] state to a folder on a local disk",
        )


def _parent_of(state: Path) -> Iterator[CheckFinding]:
    above = next(each for each in state.absolute().parents if each.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        yield problem(
            f"[site] state: {state} does not exist and cannot be made in {above}",
            needed="a folder that this user can make",
            remedy=f"make it as root and give it to this user: sudo install -d -o USER {state}",
        )
    else:
        yield ok(f"{state} will be made by the first release")


def _ownership(ground: Ground, state: Path) -> Iterator[CheckFinding]:
    found = state.stat()
    if found.st_uid != ground.machine.user_id:
        yield problem(
            f"[site] state: {state} belongs to user {found.st_uid}, and this is user {ground.machine.user_id}",
            needed="the same user for every command of the site",
            remedy="run the command as the owner (sudo -u), or give the folder to this user: sudo chown -R",
        )
    elif found.st_mode & stat.S_IWOTH:
        yield problem(
            f"[site] state: every user of this machine can write {state}",
            needed="a folder that only its owner can write: it holds the history and what is started",
            remedy=f"chmod o-w {state}",
        )
    elif not found.st_mode & stat.S_IWUSR:
        yield problem(
            f"[site] state: {state} cannot be written by its owner",
            needed="the right to write",
            remedy=f"chmod u+w {state}",
        )
    else:
        yield ok(f"{state} belongs to this user")


CHECK: Final = SiteCheck("state folder", "The state folder is safe and lasting", _find)
