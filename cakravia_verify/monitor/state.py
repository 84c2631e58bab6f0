"""What the running monitor sees, as a JSON file that other programs and the dashboard read."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from cakravia_verify.monitor.alerts.model import Alert
from cakravia_verify.monitor.sampling.source import SourceState
from cakravia_verify.system.files import read_json


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Replace the file in one step. Not synced: after a power cut the next monitor writes it anew."""
    draft = path.with_name(f".{path.name}.draft")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(state, file, default=str)
    draft.replace(path)


def read_state(path: Path) -> dict[str, Any]:
    """Return what the monitor wrote last; empty when it never ran here or the file cannot be read."""
    with contextlib.suppress(OSError, ValueError):
        state = read_json(path)
        if isinstance(state, dict):
            return state
    return {}


def facts_as_json(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of every source that has any."""
    return {name: asdict(each) for name, each in facts.items() if is_dataclass(each) and not isinstance(each, type)}


def sources_as_json(states: Sequence[SourceState], silent: Mapping[str, float]) -> list[dict[str, Any]]:
    return [asdict(each) | {"is_silent": each.name in silent} for each in states]


def alert_as_json(alert: Alert) -> dict[str, Any]:
    """Return what people and programs ask of an alert."""
    return {
        "name": alert.name,
        "state": str(alert.state),
        "since": alert.since,
        "is_open": alert.is_open,
        "began_at": alert.began_at if alert.is_open else None,
        "detail": alert.detail,
        "is_told": alert.is_told,
        "is_flapping": alert.is_flapping,
        "acknowledged_by": alert.acknowledged_by,
    }
