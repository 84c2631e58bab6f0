"""The files that each version served under `[proxy] assets`, kept for pages that are still open."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cakravia_verify.errors import ReleaseError
from cakravia_verify.system.files import read_json, write_atomically


@dataclass
class _Version:
    """One version: when it was last in use (seconds since 1970), and the SHA-256 of each file by its path."""

    seen: float
    files: dict[str, str] = field(default_factory=dict)


class AssetStore:
    """Contents by their SHA-256 in `files/`, and `index.json` with the paths of each version, by its key."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._versions = _read(folder / "index.json")

    def knows(self, key: str) -> bool:
        return key in self._versions

    def has(self, key: str, path: str) -> bool:
        return path in self._versions[key].files

    def add(self, key: str, files: Mapping[str, bytes], *, now: float) -> None:
        """Keep the files of a version. Those that it has already stay. Raises ReleaseError."""
        version = self._versions.setdefault(key, _Version(now))
        version.seen = now
        try:
            for path, content in files.items():
                name = hashlib.sha256(content).hexdigest()
                place = self._folder / "files" / name
                if not place.exists():
                    write_atomically(place, content, mode=0o644)
                version.files[path] = name
        except OSError as error:
            raise ReleaseError(
                f"the files under [proxy] assets cannot be kept in {self._folder}: {error.strerror}",
                remedy="free space on the disk, or shorten [proxy] assets_keep",
            ) from error

    def lacking(self, key: str) -> dict[str, Path]:
        """Return every file of another version that this one lacks, by its path. The newest version's comes first."""
        own = self._versions[key].files if key in self._versions else {}
        names: dict[str, str] = {}
        for other, version in sorted(self._versions.items(), key=lambda item: -item[1].seen):
            if other != key:
                for path, name in version.files.items():
                    if path not in own:
                        names.setdefault(path, name)
        places = {path: self._folder / "files" / name for path, name in names.items()}
        return {path: place for path, place in places.items() if place.exists()}

    def save(self, *, now: float, keep: float, needed: Collection[str]) -> None:
        """Write the index without versions that were last in use more than `keep` seconds ago, and delete their files.

        Versions in `needed` stay. Raises ReleaseError.
        """
        self._versions = {
            key: version for key, version in self._versions.items() if key in needed or now - version.seen <= keep
        }
        index = {key: {"seen": each.seen, "files": each.files} for key, each in self._versions.items()}
        named = {name for version in self._versions.values() for name in version.files.values()}
        try:
            write_atomically(self._folder / "index.json", json.dumps(index).encode())
            for place in (self._folder / "files").glob("*"):
                if place.name not in named:
                    place.unlink()
        except OSError as error:
            raise ReleaseError(
                f"the index of kept files cannot be written to {self._folder}: {error.strerror}",
                remedy="free space on the disk",
            ) from error


def _read(index: Path) -> dict[str, _Version]:
    """Return what the index has. A damaged one is empty: the next release fills it again from what runs."""
    try:
        table: Any = read_json(index)
        return {
            str(key): _Version(float(row["seen"]), {str(path): str(name) for path, name in row["files"].items()})
            for key, row in table.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return {}
