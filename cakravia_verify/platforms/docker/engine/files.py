"""Files in containers: sent and fetched as tar archives, so that no folder is shared with the machine that releases."""

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
from cakravia_verify.platforms.docker.engine.engine import Engine
from cakravia_verify.platforms.docker.engine.exec import output_of, run_in
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
    """`folder` of a container, started or not, holds the entries."""
    archive = archive_of(entries)
    what = f"sending files to {container.name}:{folder}"
    if not engine.ask(what, lambda: container.put_archive(folder, archive), kind=kind):
        raise kind(f"{what}: the engine refused them", remedy="see the engine's own log")


def fetch(
    engine: Engine, container: Container, path: str, *, kind: type[CakraviaError] = PlatformError
) -> bytes | None:
    """The content of a regular file in a container, running or not; None where there is none."""
    members = fetch_folder(engine, container, path, kind=kind)
    return next(iter(members.values()), None) if members else None


def fetch_folder(
    engine: Engine, container: Container, path: str, *, kind: type[CakraviaError] = PlatformError
) -> dict[str, bytes]:
    """Every regular file at or below `path`, by its name without folders."""
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


class RemoteLog:
    """A growing file in a container, followed into a file of this machine.

    The copy holds what was written from the first `follow` on. A container that replaces the first one goes on with
    the same copy once `restart` has said that its file begins anew.
    """

    def __init__(self, engine: Engine, path: str, *, copy: Path) -> None:
        self.copy = copy
        self._engine = engine
        self._path = path
        self._offset: int | None = None

    def follow(self, container: Container | None, *, user: str = "") -> None:
        """The copy is up to date, as far as the container still tells."""
        if self._offset is None:
            self.copy.parent.mkdir(parents=True, exist_ok=True)
            self.copy.write_bytes(b"")
            self._offset = self._size(container) if container is not None else 0
            return
        if container is None:
            return
        size = self._size(container)
        if size < self._offset:  # truncated by somebody: what is there now is new
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
        """A file that outgrew its bound is empty; whoever appends to it goes on from its start. Called before the first
        `follow`. Stays as it is where the container has no shell."""
        if self._size(container) > LONGEST_LOG:
            line = ["sh", "-c", f"true > {self._path}"]
            run_in(self._engine, container, line, what=f"emptying {container.name}:{self._path}", user=user)

    def restart(self) -> None:
        """The file begins anew; what was copied stays."""
        if self._offset is not None:
            self._offset = 0

    def _size(self, container: Container) -> int:
        """Bytes, 0 where there is no such file."""

        def asked() -> int:
            api = self._engine.client.api
            url = f"{api.base_url}/v{api.api_version}/containers/{container.id}/archive"
            with contextlib.closing(api.head(url, params={"path": self._path}, timeout=api.timeout)) as answer:
                if answer.status_code == 404:
                    return 0
                answer.raise_for_status()
                told = json.loads(base64.b64decode(answer.headers["X-Docker-Container-Path-Stat"]))
                return int(told["size"])

        return self._engine.ask(f"looking at {container.name}:{self._path}", asked)

    def _pieces(self, container: Container, user: str, *, wanted: int) -> Iterator[bytes]:
        """What the file has beyond what was copied, `wanted` bytes or more: by `tail` where the image has one, else
        out of the whole file. A busy engine may end a command's output early and call it a success."""
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
    """A file to read from, made of pieces."""

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
