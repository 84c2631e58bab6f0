"""What the slots were given: the variables of the releaser's shell and of `env_file`, kept for later starts."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cakravia_verify.errors import UsageError
from cakravia_verify.settings.models import Settings
from cakravia_verify.slots import Artifact, Colour, Slot
from cakravia_verify.system.files import read_json, write_atomically

# A shell may lack these. Every other variable of `pass_environment` is needed.
OPTIONAL: Final = frozenset({
    "PATH", "LANG", "LANGUAGE", "TZ", "TMPDIR", "HOME", "USER", "LOGNAME", "SHELL",
    "http_proxy", "https_proxy", "no_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY",
})  # fmt: skip


def variables_of(settings: Settings, shell: Mapping[str, str]) -> dict[str, str]:
    """Return what the releaser gives a slot now: `pass_environment`, then `env_file`.

    Raises UsageError, with the name, if `shell` lacks a variable that is needed.
    """
    app = settings.app
    missing = [name for name in app.pass_environment if name not in shell and not _is_optional(name)]
    if missing:
        names = ", ".join(missing)
        raise UsageError(
            f"[app] pass_environment: this shell has no variable {names}",
            remedy="export it, or remove it from pass_environment; nothing was started",
        )
    passed = {name: shell[name] for name in app.pass_environment if name in shell}
    if not app.env_file:
        return passed
    from cakravia_verify.settings.env_file import read_env_file  # python-dotenv is slow to import

    return passed | read_env_file(settings.root / app.env_file, shell=shell)


@dataclass(frozen=True)
class KeptEnvironments:
    """Files that only this user can read. Each says for which digest it is.

    A slot's file (in `slots`) has what was given at its last start. A version's file (in `versions`) has what its slot
    was given when it was promoted: a failed release of the same artifact does not change it.
    """

    slots: Path
    versions: Path

    def put(self, colour: Colour, artifact: Artifact, values: Mapping[str, str]) -> None:
        """Keep what the slot is given."""
        number = max((kept.number for kept in map(_read, map(self._of_slot, Colour)) if kept), default=0) + 1
        _write(self._of_slot(colour), _Kept(artifact.digest, number, dict(values)))

    def find(self, artifact: Artifact) -> dict[str, str] | None:
        """Return what the artifact was given, None if that is not known."""
        for kept in map(_read, (self._of_version(artifact.digest), *map(self._of_slot, Colour))):
            if kept is not None and kept.digest == artifact.digest:
                return kept.values
        return None

    def paths(self) -> list[str]:
        """Return each PATH that a slot was given."""
        return [
            kept.values["PATH"] for kept in map(_read, map(self._of_slot, Colour)) if kept and "PATH" in kept.values
        ]

    def keep(self, running: Iterable[Slot]) -> None:
        """Keep what these slots of promoted versions were given with their versions. The last start counts."""
        found = [(slot.digest, _read(self._of_slot(slot.colour))) for slot in running]
        rows = [kept for digest, kept in found if kept is not None and kept.digest == digest]
        for kept in sorted(rows, key=lambda row: row.number):
            _write(self._of_version(kept.digest), kept)

    def forget(self, digests: Iterable[str]) -> None:
        """Remove what removed versions were given."""
        for digest in digests:
            self._of_version(digest).unlink(missing_ok=True)

    def _of_slot(self, colour: Colour) -> Path:
        return self.slots / str(colour) / "environment"

    def _of_version(self, digest: str) -> Path:
        return self.versions / f"{digest.removeprefix('sha256:')[:12]}.environment"


@dataclass(frozen=True)
class _Kept:
    digest: str
    number: int
    values: dict[str, str] = field(repr=False)


def _read(path: Path) -> _Kept | None:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
        row = read_json(path)
        values = {str(name): str(value) for name, value in row["values"].items()}
        return _Kept(str(row["digest"]), int(row["number"]), values)
    return None


def _write(path: Path, kept: _Kept) -> None:
    row = {"digest": kept.digest, "number": kept.number, "values": kept.values}
    write_atomically(path, json.dumps(row).encode())


def _is_optional(name: str) -> bool:
    return name in OPTIONAL or name.startswith("LC_")
