"""Facts of a release as the report shows them."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

from cakravia_verify.analysis.model import Measurement
from cakravia_verify.settings.models import Settings
from cakravia_verify.traffic.run import TrafficRun

TOTALS = ("sent", "answered", "lost", "errors", "unreached", "duplicated", "lost_bound", "idle_closes")


def traffic_figures(traffic_run: TrafficRun | None, measurement: Measurement | None) -> dict[str, Any]:
    """Return the plan of the traffic and its results."""
    if traffic_run is None:
        return {}
    figures: dict[str, Any] = {
        name: getattr(traffic_run.plan, name) for name in ("users", "rate", "arrivals", "round_trip", "timeout")
    }
    if measurement:
        figures |= measurement.figures
        figures["total"] = {name: getattr(measurement.measured, name) for name in TOTALS}
    if traffic_run.summary:
        figures["summary"] = traffic_run.summary.raw
    return figures


def instant(wall: float) -> str:
    """Return seconds since 1970 as ISO 8601 in UTC."""
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds")


def digest_of(settings: Settings) -> str:
    """Return a digest of the settings, without those that may be secret."""
    shown = settings.model_dump_json(exclude={"root": True, "file": True, "app": {"environment"}})
    return f"sha256:{hashlib.sha256(shown.encode()).hexdigest()}"
