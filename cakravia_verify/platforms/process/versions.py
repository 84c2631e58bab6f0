"""Retained versions of the process platform: exact copies of the source folder, named by version and digest."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import psutil

from cakravia_verify.errors import PlatformError, UsageError
from cakravia_verify.platforms.process.build import run_build
from cakravia_verify.platforms.process.source_tree import IGNORED, copy_source, remove_tree
from cakravia_verify.platforms.protocol import surplus_of
from cakravia_verify.slots import Artifact
from cakravia_verify.system.clock import Deadline
from cakravia_verify.system.files import make_folder, read_json, write_atomically

# What a failed attempt to keep a version means for the operator.
REMEDIES: Final = {
    errno.ENOSPC: "free space on the disk of that folder",
    errno.EDQUOT: "free space within the quota of this user",
    errno.ENAMETOOLONG: "shorten the path of the state folder, or the names in the source",
}


class VersionStore:
    """Folders `<version>-<first 12 digits of the digest>`, each with a copy of the source folder.

    The description of a folder is the file `<folder>.json` beside it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.build_log = folder / "build.log"

    def add(
        self,
        version: str,
        source: Path,
        *,
        build: Sequence[str],
        environment: Mapping[str, str],
        command: Sequence[str],
        apart: Collection[Path],
        is_named: bool,
        deadline: Deadline,
    ) -> Artifact:
        """Copy and build `source` without `apart`.

        The digest covers each file's path, executable bit and content, and the command. The copy has the name of the
        source folder if `is_named`; else the same files have the same digest wherever they are.
        """
        if not source.is_dir():
            raise UsageError(
                f"[app] source: {source} is not a folder", remedy="set it to the folder of the application"
            )
        draft = self.folder / f".draft-{os.getpid()}"
        try:
            make_folder(self.folder)
            self.build_log.unlink(missing_ok=True)
            self._clear_drafts()
            draft.mkdir()
            copy = draft / (source.resolve().name if is_named else "app")
            copy_source(source, copy, apart=apart, deadline=deadline)
            if build:
                run_build(build, copy, version=version, environment=environment, log=self.build_log, deadline=deadline)
            digest = digest_of(draft, command=command)
            place = self._place_for(version, digest, command=command)
            if not place.exists():
                draft.replace(place)
            artifact = Artifact(version, digest, str(place))
            self._describe(artifact, command=command)
        except OSError as error:
            raise PlatformError(
                f"version {version} cannot be kept in {self.folder}: {error.strerror}",
                remedy=REMEDIES.get(error.errno or 0, "correct the permissions of that folder"),
            ) from error
        finally:
            with contextlib.suppress(OSError):
                remove_tree(draft)
        return artifact

    def retained(self) -> tuple[Artifact, ...]:
        """Return the artifacts, the last added first. The clock does not matter."""
        artifacts = (Artifact(row["version"], row["digest"], str(self.folder / row["folder"])) for row in self._rows())
        return tuple(artifact for artifact in artifacts if Path(artifact.location).is_dir())

    def _rows(self) -> list[dict[str, Any]]:
        """Return every readable description, newest first."""
        rows = []
        for path in self.folder.glob("*.json"):
            try:
                row = read_json(path)
                names = {name: str(row[name]) for name in ("version", "digest", "folder")}
                rows.append(names | {"number": int(row.get("number", 0)), "at": path.stat().st_mtime})
            except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
                continue
        return sorted(rows, key=lambda row: (-row["number"], -row["at"]))

    def verify(self, artifact: Artifact, *, command: Sequence[str]) -> None:
        """Raise PlatformError if the retained files no longer match the digest.

        `command` is used if the description does not contain the command.
        """
        if not Path(artifact.location).is_dir():
            raise PlatformError(
                f"version {artifact.version} is no longer retained: {artifact.location} is missing",
                remedy="deploy the version again from its source",
            )
        present = digest_of(Path(artifact.location), command=self.command_of(artifact, default=command))
        if present != artifact.digest:
            raise PlatformError(
                f"the retained files of {artifact.version} have changed: digest {present} instead of {artifact.digest}",
                remedy="deploy the version again from its source; the running slot was not touched",
            )

    def command_of(self, artifact: Artifact, *, default: Sequence[str]) -> tuple[str, ...]:
        """Return the artifact's command. It is a part of its identity."""
        try:
            row = read_json(self._description(artifact))
            return tuple(str(part) for part in row["command"])
        except (OSError, ValueError, KeyError, TypeError, OverflowError):
            return tuple(default)

    def source_of(self, artifact: Artifact) -> Path:
        """Return the copy of the source folder."""
        folders = [path for path in Path(artifact.location).iterdir() if path.is_dir() and path.name not in IGNORED]
        if len(folders) != 1:
            raise PlatformError(
                f"{artifact.location} contains {len(folders)} folders instead of one",
                remedy=f"deploy {artifact.version} again from its source",
            )
        return folders[0]

    def prune(self, *, keep: Collection[str], retain: int, promoted: Collection[str] = ()) -> tuple[Artifact, ...]:
        """Remove artifacts beyond `retain`. Raises OSError if files are left; the next `add` tries again."""
        removed = []
        for artifact in surplus_of(self.retained(), retain=retain, promoted=promoted):
            if artifact.digest not in keep:
                self._description(artifact).unlink(missing_ok=True)
                place = self._place(artifact.version, artifact.digest)
                for folder in filter(Path.is_dir, (place, *self.folder.glob(f"{place.name}.*/"))):
                    leftover = self.folder / f".draft-{folder.name}"
                    folder.replace(leftover)
                    remove_tree(leftover)
                removed.append(artifact)
        return tuple(removed)

    def _place(self, version: str, digest: str) -> Path:
        return self.folder / f"{version}-{digest.removeprefix('sha256:')[:12]}"

    def _place_for(self, version: str, digest: str, *, command: Sequence[str]) -> Path:
        """Return the folder for exactly these files. A changed copy stays, because a slot may run from it."""
        first = place = self._place(version, digest)
        number = 1
        while place.exists() and digest_of(place, command=command) != digest:
            number += 1
            place = first.with_name(f"{first.name}.{number}")
        return place

    def _description(self, artifact: Artifact) -> Path:
        return Path(f"{self._place(artifact.version, artifact.digest)}.json")

    def _describe(self, artifact: Artifact, *, command: Sequence[str]) -> None:
        row = {
            "version": artifact.version,
            "digest": artifact.digest,
            "folder": Path(artifact.location).name,
            "command": list(command),
            "number": max((int(each["number"]) for each in self._rows()), default=0) + 1,
        }
        write_atomically(self._description(artifact), json.dumps(row).encode())

    def _clear_drafts(self) -> None:
        """Remove the drafts of builds that were killed."""
        for draft in self.folder.glob(".draft-*"):
            number = draft.name.removeprefix(".draft-")
            if not number.isdigit() or int(number) == os.getpid() or not psutil.pid_exists(int(number)):
                with contextlib.suppress(OSError):
                    remove_tree(draft)


def digest_of(folder: Path, *, command: Sequence[str]) -> str:
    """Return `sha256:...` over the command and each file's path, content, and executable bit or link target."""
    total = hashlib.sha256(json.dumps(list(command)).encode())
    for path in _files(folder):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            total.update(f"\nlink {name} {path.readlink()}\n".encode(errors="surrogateescape"))
            continue
        kind = "program" if os.access(path, os.X_OK) else "file"
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(f"\n{kind} {name} {content}\n".encode(errors="surrogateescape"))
    return f"sha256:{total.hexdigest()}"


def _files(folder: Path) -> Iterator[Path]:
    """Yield the regular files and links below the folder, in one order on every machine."""
    todo = [folder]
    while todo:
        path = todo.pop()
        if path.is_dir() and not path.is_symlink():
            inner = [each for each in path.iterdir() if each.name not in IGNORED]
            todo += sorted(inner, reverse=True)
        elif path.is_symlink() or path.is_file():
            yield path
