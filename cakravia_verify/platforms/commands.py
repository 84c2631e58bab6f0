"""A command that a platform runs as a version of the application runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

# The variable that says which release started a command. What a killed release left is found by it.
RELEASE_VARIABLE: Final = "CAKRAVIA_RELEASE"


@dataclass(frozen=True)
class VersionCommand:
    """What to run. `{version}` is replaced in `argv`, and `{python}` where the command runs on this machine."""

    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    stdin: bytes = b""


class RunningCommand(Protocol):
    """A command that was started."""

    def status(self) -> int | None:
        """Return the exit status, None while the command runs."""
        ...

    def output(self) -> str:
        """Return what it wrote, bounded."""
        ...

    def end(self) -> None:
        """End everything that the command started. Does nothing the second time."""
        ...
