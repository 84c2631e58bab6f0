"""The files that init writes: all of them, or none. A file that is there is not replaced unless that is wanted."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cakravia_verify.errors import UsageError
from cakravia_verify.kinds import SUITES

KEPT_ENDING: Final = ".before-init"


@dataclass(frozen=True)
class PlannedFile:
    """One file: what it will hold, and what it holds now (None: it is not there)."""

    path: Path
    text: str
    old: str | None

    @property
    def is_new(self) -> bool:
        return self.old is None

    @property
    def is_same(self) -> bool:
        return self.old == self.text

    @property
    def replaces(self) -> bool:
        """Whether something that is in the file now would be lost."""
        return self.old is not None and not self.text.startswith(self.old)

    def difference(self) -> str:
        """Return the lines that differ, in the form of `diff -u`."""
        lines = difflib.unified_diff(
            (self.old or "").splitlines(),
            self.text.splitlines(),
            f"{self.path.name} (now)",
            self.path.name,
            lineterm="",
        )
        return "\n".join(lines)


def planned(path: Path, text: str) -> PlannedFile:
    """Return the file with what it holds now. Raises UsageError if it cannot be read."""
    try:
        return PlannedFile(path, text, path.read_text(encoding="utf-8") if path.exists() else None)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} cannot be read: {error}", remedy="correct its permissions, or move it away"
        ) from error


def suites_for(folder: Path, *, platform: str) -> Iterator[PlannedFile]:
    """Yield our suites as files of the project."""
    for source in sorted(SUITES.rglob("*")):
        name = source.relative_to(SUITES)
        if source.suffix not in (".py", ".ini") or (name.parts[0] == "containers" and platform != "docker"):
            continue
        yield planned(folder / "suites" / name, source.read_text(encoding="utf-8"))


def ignore_rules_for(path: Path, *, lines: Sequence[str]) -> Iterator[PlannedFile]:
    """Yield a file of ignore rules with the lines that it lacks; nothing if it has them all."""
    file = planned(path, "")
    old = file.old or ""
    present = {line.strip().strip("/") for line in old.splitlines()}
    missing = [line for line in lines if line.strip("/") not in present]
    if missing:
        start = old if not old or old.endswith("\n") else f"{old}\n"
        yield PlannedFile(path, start + "# Cakravia Verify\n" + "".join(f"{line}\n" for line in missing), file.old)


def write_files(files: Iterable[PlannedFile]) -> None:
    """Write every file, or none: all are written beside their places first. A replaced file is kept as *.before-init.

    Raises UsageError if the folder cannot be written.
    """
    drafts: list[tuple[Path, PlannedFile]] = []
    made: list[Path] = []
    try:
        for file in files:
            made += _make_folder(file.path.parent)
            draft = file.path.with_name(f".{file.path.name}.{os.getpid()}.draft")
            drafts.append((draft, file))
            draft.write_text(file.text, encoding="utf-8")
            if file.old is not None:
                draft.chmod(file.path.stat().st_mode)
        for draft, file in drafts:
            if file.replaces:
                file.path.replace(file.path.with_name(file.path.name + KEPT_ENDING))
            draft.replace(file.path)
    except OSError as error:
        for draft, _ in drafts:
            draft.unlink(missing_ok=True)
        for folder in reversed(made):
            folder.rmdir()
        raise UsageError(
            f"{error.filename} cannot be written: {error.strerror}; nothing was written",
            remedy="change the permissions of the folder, or copy the project to a folder of your own",
        ) from error


def _make_folder(folder: Path) -> list[Path]:
    """Make a folder and its parents. Returns those that were missing, the outermost first."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing[::-1]
