"""The copy of a source folder: the files that belong to a version, and no others."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import stat
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from cakravia_verify.errors import UsageError
from cakravia_verify.platforms.process.ignore_rules import IgnoreRules
from cakravia_verify.system.clock import Deadline

# Folders of tools. They are in no version and in no digest, because tools change them while nothing else changes.
IGNORED: Final = frozenset({
    ".git", ".hg", ".svn", ".venv", ".tox", ".nox", ".cakravia",
    "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis",
})  # fmt: skip
# Linux's request to share a file's blocks (btrfs, XFS and others), from linux/fs.h.
_FICLONE: Final = 0x40049409


def copy_source(source: Path, target: Path, *, apart: Collection[Path], deadline: Deadline) -> None:
    """Copy the files of `source` that belong to a version. Their modes are kept; folders stay writable for the owner.

    Left out: `apart`, IGNORED, virtual environments, what the ignore rules name, sockets, pipes and devices. A link
    within the source stays a link. A relative link that leaves it becomes a copy of what it leads to. Raises UsageError
    if a file cannot be read or nothing is left, OSError if `target` cannot be written, and DeadlineExceeded.
    """
    root = source.resolve()
    left_out = {path.resolve() for path in apart}
    # Real folders, so that no path below needs to be resolved. The last part: the folders that links led to.
    todo: list[tuple[Path, Path, PurePosixPath, IgnoreRules, tuple[Path, ...]]] = [
        (root, target, PurePosixPath(), IgnoreRules.of(root), ())
    ]
    count = 0
    while todo:
        folder, copy, name, rules, followed = todo.pop()
        copy.mkdir()
        for entry in _entries(folder):
            if deadline.is_over:
                raise deadline.exceeded(f"{count} files are copied", remedy="increase [app] build_timeout")
            path, its_name = folder / entry.name, name / entry.name
            follows = entry.is_symlink() and _leaves(path, root)
            is_folder = entry.is_dir(follow_symlinks=follows)
            if _is_left_out(path, its_name, rules, left_out, is_folder=is_folder):
                continue
            if entry.is_symlink() and not follows:
                (copy / entry.name).symlink_to(path.readlink())
                count += 1
            elif is_folder:
                real = _followed(path, root, followed) if follows else path
                beyond = (*followed, real) if follows else followed
                todo.append((real, copy / entry.name, its_name, rules.within(real, name=its_name), beyond))
            elif entry.is_file():
                _copy_file(path, copy / entry.name)
                count += 1
        copy.chmod(stat.S_IMODE(folder.stat().st_mode) | stat.S_IRWXU)
    if not count:
        raise UsageError(
            f"[app] source: no file of {source} belongs to a version",
            remedy="name another folder, or correct its .gitignore; '!name' in .cakraviaignore takes a file in",
        )


def remove_tree(folder: Path) -> None:
    """Remove the folder, also if folders in it are read-only. Raises OSError if something is left."""
    if not folder.is_dir():
        return
    folder.chmod(stat.S_IRWXU)
    for place, names, _ in os.walk(folder):
        for path in (Path(place, name) for name in names):
            if not path.is_symlink():
                path.chmod(stat.S_IRWXU)
    shutil.rmtree(folder)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    with _readable(folder), os.scandir(folder) as found:
        return sorted((entry for entry in found if entry.name not in IGNORED), key=lambda entry: entry.name)


def _is_left_out(
    path: Path, name: PurePosixPath, rules: IgnoreRules, apart: Collection[Path], *, is_folder: bool
) -> bool:
    if rules.name(name, is_folder=is_folder):
        return True
    return is_folder and (path in apart or (path / "pyvenv.cfg").is_file())


def _leaves(link: Path, root: Path) -> bool:
    """Return whether a relative link leads out of the source, to something that exists."""
    aim = link.readlink()
    if aim.is_absolute():
        return False
    return not Path(os.path.normpath(link.parent / aim)).is_relative_to(root) and link.exists()


def _followed(link: Path, root: Path, followed: tuple[Path, ...]) -> Path:
    """Return the folder that the link leads to. Raises UsageError if the copy would contain it without end."""
    real = link.resolve()
    if root.is_relative_to(real) or link.is_relative_to(real) or real in followed:
        raise UsageError(
            f"[app] source: the link {link} leads back to {real}, which contains it",
            remedy="remove the link, or name it in .cakraviaignore",
        )
    return real


def _copy_file(path: Path, copy: Path) -> None:
    with _readable(path), path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        with copy.open("xb") as written:
            try:
                fcntl.ioctl(written, _FICLONE, file.fileno())
            except OSError:
                shutil.copyfileobj(file, written, 2**20)
    copy.chmod(mode)


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Raise errors about reading `path` as UsageError."""
    try:
        yield
    except OSError as error:
        if error.filename not in (str(path), path) or error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UsageError(
            f"[app] source: {path} cannot be read: {error.strerror}",
            remedy="correct its permissions, or name it in .cakraviaignore; no file may vanish during the copy",
        ) from error
