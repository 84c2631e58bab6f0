"""One build of an image, its output, and its failure in words."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from cakravia_verify.errors import PlatformError, UsageError
from cakravia_verify.platforms.docker.engine.engine import REMEDIES

# A line that begins a step: `#5 [stage 2/3] RUN make`.
STEP: Final = re.compile(r"^#\d+ (\[.+)")
# A part of BuildKit's message -> the remedy.
BUILD_REMEDIES: Final = (
    (
        "unknown flag",
        "begin the Dockerfile with the line `# syntax=docker/dockerfile:1`: the engine's own reader is older than this "
        "file; or build elsewhere and set [docker] image or archive",
    ),
    ("buildkit", "use an engine with BuildKit (Docker 20.10 or newer); or set [docker] image or archive"),
)
LINES_SHOWN: Final = 40
CHARACTERS_SHOWN: Final = 1500


@dataclass(frozen=True)
class ImageBuild:
    """What to build. The image gets the name `tag`. `target` is the stage; empty: the last one.

    `secrets` are files, by the id that a RUN line names. `secret_variables` are names of environment variables by it.
    """

    context: Path
    tag: str
    dockerfile: str = "Dockerfile"
    arguments: Mapping[str, str] = field(default_factory=dict)
    platform: str = ""
    target: str = ""
    secrets: Mapping[str, Path] = field(default_factory=dict)
    secret_variables: Mapping[str, str] = field(default_factory=dict)
    has_ssh: bool = False

    @property
    def needs_session(self) -> bool:
        """Whether the build reads something of this machine while it runs."""
        return bool(self.secrets or self.secret_variables) or self.has_ssh

    def require_files(self) -> None:
        """Raise UsageError if the Dockerfile or a secret is missing."""
        if not (self.context / self.dockerfile).is_file():
            raise UsageError(
                f"[docker] there is no {self.dockerfile} in {self.context}",
                remedy="set [docker] context to the folder with the Dockerfile",
            )
        for name, path in self.secrets.items():
            if not path.is_file():
                raise UsageError(
                    f"[docker] build_secrets: {name}: there is no file {path}", remedy="name a file with the secret"
                )
        for name, variable in self.secret_variables.items():
            if variable not in os.environ:
                raise UsageError(
                    f"[docker] build_secrets: {name}: the environment variable {variable} is not set",
                    remedy=f"set {variable}",
                )


class BuildOutput:
    """The output of one build: complete in `file`, its steps to `told`, its last lines for an error."""

    def __init__(self, file: BinaryIO, *, told: Callable[[str], None]) -> None:
        self._file = file
        self._told = told
        self._last: list[str] = []

    def add(self, line: str) -> None:
        text = line.rstrip()
        self._file.write(f"{text}\n".encode(errors="replace"))
        self._file.flush()
        if text:
            self._last = [*self._last[1 - LINES_SHOWN :], text]
        if found := STEP.match(text):
            self._told(f"  build    {found[1]}"[:110])

    def failure(self, build: ImageBuild, detail: str) -> PlatformError:
        """Return the error that shows why the build failed."""
        shown = "\n".join(self._last)[-CHARACTERS_SHOWN:]
        everything = f"{detail}\n{shown}".lower()
        remedy = next((remedy for words, remedy in (*BUILD_REMEDIES, *REMEDIES) if words in everything), "")
        return PlatformError(
            f"building {build.context.name} failed: {detail}\n{shown}".rstrip(), remedy=remedy or "correct the build"
        )

    @property
    def last_line(self) -> str:
        return self._last[-1] if self._last else "it ended without output"
