"""All endpoints of one slot name the same slot and the same version."""

from __future__ import annotations

from collections.abc import Iterable

from cakravia_verify.health.models import Reading
from cakravia_verify.slots import Slot


def disagreement(readings: Iterable[Reading], slot: Slot) -> list[str]:
    """Return each answer that names another slot or another version than the one that runs."""
    return [
        f"{reading} is not {slot}"
        for reading in readings
        if reading.status_code is not None and not reading.names(slot=str(slot.colour), version=slot.version)
    ]
