"""Liveness says that the process lives. It does not depend on other services."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from cakravia_verify.health.models import Reading
from cakravia_verify.health.wording import CHECK_LISTS

SERVICE: Final = re.compile(
    r"postgres|mysql|maria|mongo|redis|database|\bdb\b|rabbit|kafka|elastic|smtp|\bs3\b|upstream|external|dependenc",
    re.IGNORECASE,
)


def asks_others(payload: Any) -> list[str]:
    """Return the names of the checks in a liveness answer that are about other services."""
    if not isinstance(payload, Mapping):
        return []
    names: list[str] = []
    for key in CHECK_LISTS:
        found = payload.get(key)
        if isinstance(found, Mapping):
            names += map(str, found)
        elif isinstance(found, list):
            names += [str(each.get("name", "")) for each in found if isinstance(each, Mapping)]
    return [name for name in names if SERVICE.search(name)]


def dies_with_readiness(live: Reading, others: Mapping[str, Reading]) -> str:
    """Return that liveness is ill while the process answers, as if a restart would help."""
    ill = [name for name, reading in others.items() if not reading.is_healthy]
    if live.is_healthy or not ill:
        return ""
    return (
        f"liveness is ill together with {', '.join(ill)} ({live.problem}): what watches it would restart the slot for "
        "the fault of another service"
    )
