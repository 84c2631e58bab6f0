"""Archives of what a site cannot make again: settings, history, verdicts, and the proxy's configuration to read."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cakravia_verify import __version__
from cakravia_verify.errors import UsageError
from cakravia_verify.settings.models import Settings
from cakravia_verify.system.files import make_folder, sync_folder

MANIFEST: Final = "manifest.json"
SETTINGS, HISTORY, VERDICTS, PROXY = "settings", "history", "verdicts", "proxy"
MOST_VERDICTS: Final = 200
_ENDING: Final = ".tar.gz"


@dataclass(frozen=True)
class Backup:
    """An archive whose files are as its manifest says. `files` are their contents by name."""

    path: Path
    site: str
    at: str
    reason: str
    files: dict[str, bytes]
    certificates: tuple[str, ...]

    def of(self, part: str) -> dict[str, bytes]:
        """Return the files of one part, by their name within it."""
        start = f"{part}/"
        return {name.removeprefix(start): content for name, content in self.files.items() if name.startswith(start)}


def backups_folder(settings: Settings) -> Path:
    return settings.state / "backups"


def backups_of(settings: Settings) -> tuple[Path, ...]:
    """Return the archives of the site, newest first."""
    return tuple(sorted(backups_folder(settings).glob(f"*{_ENDING}"), reverse=True))


def make_backup(settings: Settings, *, reason: str, wall: float, to: Path | None = None) -> Path:
    """Write an archive that only this user can read, and remove the oldest beyond `[release] backups`.

    No secret is taken along: neither keys, nor files that settings name, nor variables of versions. Raises UsageError
    if the archive cannot be written.
    """
    at = datetime.fromtimestamp(wall, UTC)
    path = to or backups_folder(settings) / f"{at:%Y%m%dT%H%M%S.%fZ}{_ENDING}"
    try:
        make_folder(path.parent)
        _write(path, dict(_contents(settings)), settings=settings, reason=reason, at=at)
        if to is None:
            for old in backups_of(settings)[max(1, settings.release.backups) :]:
                old.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(
            f"the backup {path} cannot be written: {error.strerror}",
            remedy="free space, or turn backups off: [release] backups = 0",
        ) from error
    return path


def read_backup(path: Path) -> Backup:
    """Return an archive. Raises UsageError if it cannot be read, or if a file differs from its checksum."""
    try:
        with tarfile.open(path, "r:gz") as archive:
            files = {each.name: _content(archive, each) for each in archive.getmembers() if each.isfile()}
        manifest = json.loads(files.pop(MANIFEST))
        sums = {str(name): str(row["sha256"]) for name, row in manifest["files"].items()}
        facts = {key: str(manifest[key]) for key in ("site", "at", "reason")}
        certificates = tuple(str(row["path"]) for row in manifest["certificates"])
    except (OSError, tarfile.TarError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path} is no backup of a site: {error}", remedy="name a file that cakravia backup has written"
        ) from error
    wrong = sorted(
        name for name in {*sums, *files} if hashlib.sha256(files.get(name, b"-")).hexdigest() != sums.get(name)
    )
    if wrong:
        raise UsageError(
            f"{path} is damaged: {', '.join(wrong)} differ from their checksums", remedy="name another backup"
        )
    return Backup(path, **facts, files=files, certificates=certificates)


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    return file.read() if file else b""


def _write(path: Path, files: dict[str, bytes], *, settings: Settings, reason: str, at: datetime) -> None:
    manifest: dict[str, Any] = {
        "format": 1,
        "site": settings.site.name,
        "at": at.isoformat(),
        "reason": reason,
        "cakravia": __version__,
        "files": {
            name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
            for name, content in files.items()
        },
        "certificates": list(_certificates(settings)),
    }
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as archive:
                for name, content in {MANIFEST: json.dumps(manifest, indent=1).encode(), **files}.items():
                    entry = tarfile.TarInfo(name)
                    entry.size, entry.mode, entry.mtime = len(content), 0o600, int(at.timestamp())
                    archive.addfile(entry, io.BytesIO(content))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(path.parent)


def _contents(settings: Settings) -> Iterator[tuple[str, bytes]]:
    """Yield the files by their names in the archive. What is not there is left out."""
    named = settings.docker.compose
    composed = [named] if isinstance(named, str) else list(named)
    for path in (settings.file, *(settings.root / each for each in composed if each)):
        yield from _file(f"{SETTINGS}/{path.name}", path)
    yield from _file(f"{HISTORY}/{settings.history.name}", settings.history)
    folders = sorted(
        (each for each in settings.reports.glob("*/verdict.json") if not each.parent.is_symlink()), reverse=True
    )
    for path in folders[:MOST_VERDICTS]:
        yield from _file(f"{VERDICTS}/{path.parent.name}/{path.name}", path)
    for folder, patterns in (("nginx", ("nginx.conf", "upstream*", "flags/*")), ("docker", ("services/*", "images/*"))):
        for pattern in patterns:
            for path in sorted((settings.state / folder).glob(pattern)):
                yield from _file(f"{PROXY}/{path.relative_to(settings.state).as_posix()}", path)


def _file(name: str, path: Path) -> Iterator[tuple[str, bytes]]:
    if path.is_file():
        yield name, path.read_bytes()


def _certificates(settings: Settings) -> Iterator[dict[str, str]]:
    """Yield the path and the checksum of the certificate, and the path of its key. The key is not read."""
    proxy = settings.proxy
    if proxy.tls_certificate:
        path = Path(proxy.tls_certificate)
        content = path.read_bytes() if path.is_file() else b""
        yield {"path": str(path), "sha256": hashlib.sha256(content).hexdigest()}
        yield {"path": proxy.tls_key, "sha256": ""}
