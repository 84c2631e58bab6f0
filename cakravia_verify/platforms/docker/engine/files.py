"""Files in containers, sent and fetched as tar archives. No folder is shared with the releasing machine."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from cakravia_verify.errors import CakraviaError, PlatformError
from cakravia_verify.platforms.docker.engine.engine import READ_LOG, Engine
from cakravia_verify.platforms.docker.engine.exec import output_of, run_in
from cakravia_verify.system.files import make_folder
from cakravia_verify.system.log_files import LONGEST_LOG

if TYPE_CHECKING:
    from docker.models.containers import Container

PIECE: Final = 1 << 20


@dataclass(frozen=True)
class ArchiveEntry:
    """A file to send (`content`), a folder (both empty) or a symbolic link (`link`)."""

    name: str
    content: bytes | None = field(default=None, repr=False)
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    link: str = ""


def archive_of(entries: Iterable[ArchiveEntry]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for entry in entries:
            member = tarfile.TarInfo(entry.name)
            member.mode, member.uid, member.gid = entry.mode, entry.uid, entry.gid
            if entry.link:
                member.type, member.linkname = tarfile.SYMTYPE, entry.link
            elif entry.content is None:
                member.type = tarfile.DIRTYPE
            else:
                member.size = len(entry.content)
            archive.addfile(member, io.BytesIO(entry.content) if entry.content else None)
    return buffer.getvalue()


def send(
    engine: Engine,
    container: Container,
    folder: str,
    entries: Iterable[ArchiveEntry],
    *,
    kind: type[CakraviaError] = PlatformError,
) -> None:
    """Put the entries into `folder` of a container, running or not."""
    archive = archive_of(entries)
    what = f"sending files to {container.name}:{folder}"
    if not engine.ask(what, lambda: container.put_archive(folder, archive), kind=kind):
        raise kind(f"{what}: the engine refused them", remedy=READ_LOG)


def fetch(
    engine: Engine, container: Container, path: str, *, kind: type[CakraviaError] = PlatformError
) -> bytes | None:
    """Return the content of a regular file in a container, running or not. None without a file."""
    members = fetch_folder(engine, container, path, kind=kind)
    return next(iter(members.values()), None) if members else None


def fetch_folder(
    engine: Engine, container: Container, path: str, *, kind: type[CakraviaError] = PlatformError
) -> dict[str, bytes]:
    """Return every regular file at or below `path`, by its name without folders."""
    from docker.errors import NotFound

    def got() -> dict[str, bytes]:
        try:
            stream, _ = container.get_archive(path)
        except NotFound:
            return {}
        found = {}
        with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
            for member in archive:
                if member.isreg() and (file := archive.extractfile(member)) is not None:
                    found[member.name.rpartition("/")[2]] = file.read()
        return found

    return engine.ask(f"reading {container.name}:{path}", got, kind=kind)


def names_below(engine: Engine, container: Container, path: str) -> tuple[str, ...]:
    """Return the names of all regular files below a folder in a container, relative to it. () without the folder."""
    from docker.errors import NotFound

    def asked() -> tuple[str, ...]:
        try:
            stream, _ = container.get_archive(path, chunk_size=PIECE)
        except NotFound:
            return ()
        with tarfile.open(fileobj=cast(Any, _Readable(stream)), mode="r|") as archive:
            return tuple(member.name.partition("/")[2] for member in archive if member.isreg() and "/" in member.name)

    return engine.ask(f"listing {container.name}:{path}", asked)


def size_of(engine: Engine, container: Container, path: str) -> int:
    """Return the size in bytes of a file in a container, running or not. 0 without a file."""

    def asked() -> int:
        api = engine.client.api
        url = f"{api.base_url}/v{api.api_version}/containers/{container.id}/archive"
        with contextlib.closing(api.head(url, params={"path": path}, timeout=api.timeout)) as answer:
            if answer.status_code == 404:
                return 0
            answer.raise_for_status()
            stat = json.loads(base64.b64decode(answer.headers["X-Docker-Container-Path-Stat"]))
            return int(stat["size"])

    return engine.ask(f"reading the size of {container.name}:{path}", asked)


class RemoteLog:
    """A growing file in a container, with a local copy.

    The copy has the content that was written after the first `follow`. `restart` continues the same copy with the
    file of a new container.
    """

    def __init__(self, engine: Engine, path: str, *, copy: Path) -> None:
        self.copy = copy
        self._engine = engine
        self._path = path
        self._offset: int | None = None

    def follow(self, container: Container | None, *, user: str = "") -> None:
        """Bring the copy up to date, if the container still exists."""
        if self._offset is None:
            make_folder(self.copy.parent)
            self.copy.write_bytes(b"")
            self._offset = self._size(container) if container is not None else 0
            return
        if container is None:
            return
        size = self._size(container)
        if size < self._offset:  # the file was truncated: all its content is new
            self._offset = 0
        if size == self._offset:
            return
        with self.copy.open("ab") as copy:
            before = copy.tell()
            try:
                for piece in self._pieces(container, user, wanted=size - self._offset):
                    copy.write(piece)
            finally:
                self._offset += copy.tell() - before

    def empty_long(self, container: Container, *, user: str = "") -> None:
        """Empty a file that is longer than LONGEST_LOG. Its writer continues at the start.

        Called before the first `follow`. Without a shell in the container the file stays as it is.
        """
        if self._size(container) > LONGEST_LOG:
            line = ["sh", "-c", f"true > {self._path}"]
            run_in(self._engine, container, line, what=f"emptying {container.name}:{self._path}", user=user)

    def restart(self) -> None:
        """Follow the new file from its start. The copy keeps its content."""
        if self._offset is not None:
            self._offset = 0

    def _size(self, container: Container) -> int:
        return size_of(self._engine, container, self._path)

    def _pieces(self, container: Container, user: str, *, wanted: int) -> Iterator[bytes]:
        """Yield the part of the file that was not copied yet, at least `wanted` bytes.

        `tail` reads it, else the archive of the whole file. A busy engine may end the output of `tail` early and
        report success.
        """
        tail = ["tail", "-c", f"+{(self._offset or 0) + 1}", self._path]
        pieces: list[bytes] = []
        if container.status == "running":
            with contextlib.suppress(Exception):
                pieces += output_of(self._engine, container, tail, user=user)
        if sum(map(len, pieces)) >= wanted:
            yield from pieces
            return
        stream, _ = container.get_archive(self._path, chunk_size=PIECE)
        yield from self._beyond(stream)

    def _beyond(self, stream: Iterator[bytes]) -> Iterator[bytes]:
        with tarfile.open(fileobj=cast(Any, _Readable(stream)), mode="r|") as archive:
            for member in archive:
                file = archive.extractfile(member)
                if file is None:
                    continue
                left = self._offset or 0
                while left and (skipped := file.read(min(left, PIECE))):
                    left -= len(skipped)
                while piece := file.read(PIECE):
                    yield piece


class _Readable:
    """A readable file object over pieces of bytes."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def read(self, count: int = -1) -> bytes:
        while count < 0 or len(self._rest) < count:
            piece = next(self._pieces, None)
            if piece is None:
                break
            self._rest += piece
        taken, self._rest = (self._rest, b"") if count < 0 else (self._rest[:count], self._rest[count:])
        return taken
