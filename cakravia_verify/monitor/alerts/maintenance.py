"""Whether a maintenance window lasts now."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from cakravia_verify.settings.monitor import DAYS, MaintenanceWindow


def window_at(now: float, windows: Iterable[MaintenanceWindow]) -> MaintenanceWindow | None:
    """Return the window that covers an instant (seconds since 1970), None outside of all."""
    instant = datetime.fromtimestamp(now, UTC)
    return next((window for window in windows if _covers(window, instant)), None)


def _covers(window: MaintenanceWindow, instant: datetime) -> bool:
    """A window that ends before it starts reaches past midnight, and belongs to the day on which it starts."""
    time = f"{instant:%H:%M}"
    today = DAYS[instant.weekday()]
    if window.start < window.end:
        return today in window.days and window.start <= time < window.end
    yesterday = DAYS[(instant - timedelta(days=1)).weekday()]
    return (today in window.days and time >= window.start) or (yesterday in window.days and time < window.end)
