"""A reading: the answer to one probe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Reading:
    """One answer of one endpoint. `status_code` is None without an answer; `latency` is in seconds.

    `slot`, `version` and `in_flight` are None if the answer does not contain them.
    """

    endpoint: str
    url: str
    status_code: int | None
    state: str
    slot: str | None
    version: str | None
    in_flight: int | None
    latency: float
    problem: str

    @property
    def is_healthy(self) -> bool:
        return not self.problem

    def names(self, *, slot: str, version: str) -> bool:
        """Return whether the answer agrees with `slot` and `version`. A missing name agrees."""
        return self.slot in (None, slot) and self.version in (None, version)

    def __str__(self) -> str:
        status = f"{self.status_code}" if self.status_code is not None else "no answer"
        origin = f" from {self.slot or '?'} {self.version or '?'}" if self.slot or self.version else ""
        state = f" {self.state!r}" if self.state else ""
        return f"{self.endpoint}: {status}{state}{origin}{f' ({self.problem})' if self.problem else ''}"


def field_of(payload: Any, path: str) -> str | None:
    """Return the value at a dotted path such as `deployment.slot`, as text. In `a.b|c` the first that exists counts."""
    for alternative in filter(None, path.split("|")):
        value = payload
        for part in alternative.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is not None and not isinstance(value, Mapping | list):
            return str(value)
    return None
