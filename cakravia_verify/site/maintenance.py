"""The record of a maintenance: its begin, its end, and who began it. The monitor reads it.

The proxy's flags decide what users get. This file is written before they change and ended after they are back.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from cakravia_verify.system.files import read_json, write_atomically

FILE_NAME: Final = "maintenance.json"


@dataclass(frozen=True, slots=True)
class Maintenance:
    """Instants are in seconds since 1970; `ended` is None while the maintenance lasts."""

    began: float
    who: str
    ended: float | None = None

    def overlaps(self, since: float, until: float) -> bool:
        """Return whether a part of this time belongs to the maintenance."""
        return self.began <= until and (self.ended is None or self.ended >= since)


def begin_maintenance(state: Path, *, now: float, who: str) -> None:
    """Record that a maintenance begins. One that lasts already goes on. Raises OSError."""
    known = read_maintenance(state)
    if known is None or known.ended is not None:
        _write(state, Maintenance(now, who))


def end_maintenance(state: Path, *, now: float) -> None:
    """Record that the maintenance is over, if one lasts. Raises OSError."""
    known = read_maintenance(state)
    if known is not None and known.ended is None:
        _write(state, replace(known, ended=now))


def read_maintenance(state: Path) -> Maintenance | None:
    """Return the newest maintenance, also one that is over; None if there was none or the file is unreadable."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        row = read_json(state / FILE_NAME)
        ended = row["ended"]
        return Maintenance(float(row["began"]), str(row["who"])[:100], None if ended is None else float(ended))
    return None


def _write(state: Path, maintenance: Maintenance) -> None:
    write_atomically(state / FILE_NAME, json.dumps(asdict(maintenance)).encode())
