"""Retained versions of the embedded platform: exact copies of a source folder, named by version and digest."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from cakravia_verify.deadline import Deadline
from cakravia_verify.errors import PlatformError, UsageError
from cakravia_verify.journal import write_atomically
from cakravia_verify.slots import Artifact

IGNORED = frozenset({".git", ".venv", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".cakravia"})


class VersionStore:
    """Folders `<version>-<first 12 digits of the digest>`, each holding a copy of the source folder under its own name,
    and a description `<folder>.json` beside each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(
        self,
        version: str,
        source: Path,
        *,
        build: Sequence[str],
        environment: Mapping[str, str],
        command: Sequence[str],
        deadline: Deadline,
    ) -> Artifact:
        """The artifact of `source` as it is now. Identity: every file's path, mode bit and content, and the command."""
        if not source.is_dir():
            raise UsageError(
                f"[app] source: {source} is not a folder", remedy="name the folder of the application's version"
            )
        draft = self.folder / f".draft-{os.getpid()}"
        shutil.rmtree(draft, ignore_errors=True)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            copy = draft / source.resolve().name
            shutil.copytree(source, copy, ignore=lambda _, names: IGNORED & set(names), symlinks=True)
            if build:
                _run_build(build, copy, environment=environment, deadline=deadline)
            digest = digest_of(draft, command=command)
            artifact = Artifact(version, digest, str(self._place(version, digest)))
            if not Path(artifact.location).exists():
                draft.replace(artifact.location)
            self._describe(artifact)
        except OSError as error:
            raise PlatformError(
                f"version {version} cannot be kept in {self.folder}: {error}", remedy="free space or mend permissions"
            ) from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return artifact

    def retained(self) -> tuple[Artifact, ...]:
        described = sorted(self.folder.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
        artifacts = []
        for path in described:
            try:
                row = json.loads(path.read_text(encoding="utf-8"))
                artifact = Artifact(row["version"], row["digest"], str(self._place(row["version"], row["digest"])))
            except (OSError, ValueError, KeyError):
                continue
            if Path(artifact.location).is_dir():
                artifacts.append(artifact)
        return tuple(artifacts)

    def verify(self, artifact: Artifact, *, command: Sequence[str]) -> None:
        """The retained files are still those the digest names. Raises PlatformError."""
        if not Path(artifact.location).is_dir():
            raise PlatformError(
                f"version {artifact.version} is not retained any more", remedy="deploy it again from its source"
            )
        seen = digest_of(Path(artifact.location), command=command)
        if seen != artifact.digest:
            raise PlatformError(
                f"the retained files of {artifact.version} have changed: {seen} instead of {artifact.digest}",
                remedy="deploy the version again from its source; what runs now was not touched",
            )

    def prune(self, *, keep: Collection[str], retain: int) -> tuple[Artifact, ...]:
        removed = []
        for artifact in self.retained()[retain:]:
            if artifact.digest not in keep:
                Path(f"{artifact.location}.json").unlink(missing_ok=True)
                shutil.rmtree(artifact.location, ignore_errors=True)
                removed.append(artifact)
        return tuple(removed)

    def _place(self, version: str, digest: str) -> Path:
        return self.folder / f"{version}-{digest.removeprefix('sha256:')[:12]}"

    def _describe(self, artifact: Artifact) -> None:
        row = {"version": artifact.version, "digest": artifact.digest}
        write_atomically(Path(f"{artifact.location}.json"), json.dumps(row).encode())


def digest_of(folder: Path, *, command: Sequence[str]) -> str:
    """`sha256:...` over every file's relative path, executable bit or link target, and content, and the command."""
    total = hashlib.sha256(json.dumps(list(command)).encode())
    for path in _files(folder):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            total.update(f"\nlink {name} {path.readlink()}\n".encode(errors="surrogateescape"))
            continue
        kind = "program" if os.access(path, os.X_OK) else "file"
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        total.update(f"\n{kind} {name} {content}\n".encode(errors="surrogateescape"))
    return f"sha256:{total.hexdigest()}"


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name in IGNORED:
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _files(path)
        else:
            yield path


def _run_build(command: Sequence[str], folder: Path, *, environment: Mapping[str, str], deadline: Deadline) -> None:
    try:
        built = subprocess.run(
            list(command),
            cwd=folder,
            env=dict(environment),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=deadline.remaining,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except FileNotFoundError as error:
        raise UsageError(f"[app] build: {command[0]!r} is not a program here", remedy="correct the command") from error
    except subprocess.TimeoutExpired as error:
        raise deadline.exceeded("the build was stopped", remedy="raise [app] build_timeout") from error
    if built.returncode != 0:
        said = "\n".join((built.stdout + built.stderr).strip().splitlines()[-15:])
        raise PlatformError(f"the build failed with status {built.returncode}:\n{said}", remedy="mend the build")
