"""Builds by the engine alone: its BuildKit gets the context in one request, without a session."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Iterator
from typing import Any, Final

from cakravia_verify.errors import PlatformError
from cakravia_verify.platforms.docker.building.context import ignored_patterns
from cakravia_verify.platforms.docker.building.image_build import BuildOutput, ImageBuild
from cakravia_verify.platforms.docker.engine.engine import Engine
from cakravia_verify.system.clock import Deadline

BUILDKIT: Final = "2"
TRACE: Final = "moby.buildkit.trace"
# Fields of BuildKit's StatusResponse, and of its parts, in protocol buffers.
VERTEXES, LOGS = 1, 3
VERTEX_DIGEST, VERTEX_NAME, VERTEX_CACHED, VERTEX_DONE, VERTEX_ERROR = 1, 3, 4, 6, 7
LOG_VERTEX, LOG_MESSAGE = 1, 4


def build_by_engine(engine: Engine, build: ImageBuild, output: BuildOutput, deadline: Deadline) -> None:
    """Build without the docker program. Raises PlatformError with the output, or DeadlineExceeded."""
    from docker.api.build import process_dockerfile
    from docker.utils import tar
    from requests.exceptions import RequestException

    dockerfile: Any = process_dockerfile(build.dockerfile, str(build.context))
    # BuildKit takes a plain archive for a Dockerfile if its first member has a header in the format of PAX.
    archive: Any = tar(build.context, exclude=ignored_patterns(build.context), dockerfile=dockerfile, gzip=True)
    api = engine.client.api
    with (
        engine.translated(f"building {build.context.name}"),
        contextlib.closing(archive),
        contextlib.closing(
            api.post(
                f"{api.base_url}/v{api.api_version}/build",
                params={
                    "version": BUILDKIT,
                    "t": build.tag,
                    "dockerfile": dockerfile[0],
                    "buildargs": json.dumps(dict(build.arguments)),
                    "platform": build.platform,
                    "target": build.target,
                },
                data=archive,
                headers={"Content-Type": "application/x-tar"},
                stream=True,
                timeout=max(deadline.remaining, 1.0),
            )
        ) as answer,
    ):
        if answer.status_code != 200:
            raise output.failure(build, " ".join(answer.text.split())[:300])
        progress = _Progress(output)
        try:
            for line in answer.iter_lines():
                _follow(json.loads(line), progress, build, output)
                if deadline.is_over:
                    break
        except RequestException:
            if not deadline.is_over:
                raise
    if deadline.is_over:
        raise deadline.exceeded(f"building {build.context.name} was stopped", remedy="increase [app] build_timeout")


def _follow(row: dict[str, Any], progress: _Progress, build: ImageBuild, output: BuildOutput) -> None:
    if "error" in row:
        raise output.failure(build, str(row["error"]))
    if row.get("id") == TRACE:
        progress.add(base64.b64decode(row["aux"]))
    elif str(row.get("stream", "")).startswith("Step "):
        raise PlatformError(
            "this engine builds without BuildKit",
            remedy="use an engine with BuildKit (Docker 20.10 or newer); or set [docker] image or archive",
        )


class _Progress:
    """BuildKit's messages as the lines that the docker program would print."""

    def __init__(self, output: BuildOutput) -> None:
        self._output = output
        self._numbers: dict[bytes, int] = {}
        self._ended: set[bytes] = set()

    def add(self, status: bytes) -> None:
        for kind, content in _fields(status):
            if not isinstance(content, bytes):
                continue
            part = dict(_fields(content))
            if kind == VERTEXES:
                self._add_vertex(part)
            elif kind == LOGS:
                number = self._numbers.get(_bytes(part, LOG_VERTEX), 0)
                for line in _bytes(part, LOG_MESSAGE).decode(errors="replace").splitlines():
                    self._output.add(f"#{number} {line}")

    def _add_vertex(self, part: dict[int, int | bytes]) -> None:
        digest = _bytes(part, VERTEX_DIGEST)
        if digest not in self._numbers:
            self._numbers[digest] = len(self._numbers) + 1
            self._output.add(f"#{self._numbers[digest]} {_bytes(part, VERTEX_NAME).decode(errors='replace')}")
        error = _bytes(part, VERTEX_ERROR).decode(errors="replace")
        if digest not in self._ended and (VERTEX_DONE in part or error):
            self._ended.add(digest)
            end = f"ERROR: {error}" if error else ("CACHED" if part.get(VERTEX_CACHED) else "DONE")
            self._output.add(f"#{self._numbers[digest]} {end}")


def _bytes(part: dict[int, int | bytes], number: int) -> bytes:
    content = part.get(number, b"")
    return content if isinstance(content, bytes) else b""


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and content of each field of a message in protocol buffers."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        if key & 7 == 0:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if key & 7 == 2:
            size, at = _varint(message, at)
        else:
            size = 8 if key & 7 == 1 else 4
        yield key >> 3, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at
