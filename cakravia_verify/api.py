"""The public names of Cakravia Verify. Other modules may change without notice.

Importing this module does not load the engines behind it (Docker, Locust, DuckDB, the report's templates).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from cakravia_verify.errors import CakraviaError, UsageError
from cakravia_verify.gate.model import Budget, Check, CheckStatus, Decision, Evidence, Exit, Measured, Verdict
from cakravia_verify.plugin.snapshot import ReleaseSnapshot
from cakravia_verify.plugin.views import (
    BakeView,
    LoadView,
    ReleaseView,
    SiteView,
    SlotView,
    SwitchoverView,
    TrafficProblems,
    TrafficView,
)
from cakravia_verify.release.machine import StepEvent
from cakravia_verify.report.verdict.file import read_verdict, still_holds
from cakravia_verify.report.verdict.surrounding import altered_files
from cakravia_verify.runs.session_run import SessionOutcome
from cakravia_verify.settings.models import Settings

if TYPE_CHECKING:
    from cakravia_verify.checks.health.outage import OutageRecord
    from cakravia_verify.plugin.check_views import ChecksView, HealthPlace
    from cakravia_verify.plugin.containers import (
        CONTAINER_PARTS,
        PROXY_PART,
        SLOT_PARTS,
        ContainerSite,
        ContainerView,
        open_container_site,
    )
    from cakravia_verify.plugin.monitor_view import MonitorView
    from cakravia_verify.runs.failover_cell import CellResult
    from cakravia_verify.runs.regression_run import Night

__all__ = [
    "CONTAINER_PARTS",
    "PROXY_PART",
    "SLOT_PARTS",
    "BakeView",
    "Budget",
    "CakraviaError",
    "CellResult",
    "Check",
    "CheckStatus",
    "ChecksView",
    "ContainerSite",
    "ContainerView",
    "Decision",
    "Evidence",
    "Exit",
    "HealthPlace",
    "LoadView",
    "Measured",
    "MonitorView",
    "Night",
    "OutageRecord",
    "ReleaseSnapshot",
    "ReleaseView",
    "SessionOutcome",
    "Settings",
    "SiteView",
    "SlotView",
    "StepEvent",
    "SwitchoverView",
    "TrafficProblems",
    "TrafficView",
    "UsageError",
    "Verdict",
    "altered_files",
    "open_container_site",
    "read_verdict",
    "still_holds",
]

# These need the Docker client, or what renders nginx's configuration.
_CONTAINERS: Final = "cakravia_verify.plugin.containers"
_CHECKS: Final = "cakravia_verify.plugin.check_views"
_PLACES: Final = {
    **dict.fromkeys(
        ("CONTAINER_PARTS", "PROXY_PART", "SLOT_PARTS", "ContainerSite", "ContainerView", "open_container_site"),
        _CONTAINERS,
    ),
    **dict.fromkeys(("ChecksView", "HealthPlace", "OutageRecord"), _CHECKS),
    "CellResult": "cakravia_verify.runs.failover_cell",
    "MonitorView": "cakravia_verify.plugin.monitor_view",
    "Night": "cakravia_verify.runs.regression_run",
}


def __getattr__(name: str) -> Any:
    """Load the names that need an engine behind them when they are first used."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)
