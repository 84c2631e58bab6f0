"""Monitoring issues: the service, its state and its log."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from cakravia_verify.checks.diagnosis.cause import Cause, Chapter
from cakravia_verify.checks.diagnosis.evidence import SiteEvidence

_TROUBLE: Final = re.compile(r"error|cannot|failed|refused|not delivered|Traceback", re.IGNORECASE)


def causes(evidence: SiteEvidence) -> Iterator[Cause]:
    """Yield causes if a monitor was set up or ran here before."""
    monitor = evidence.monitor
    if not (monitor.is_installed or monitor.state or monitor.is_running):
        return
    log = tuple(line[:300] for line in monitor.log.splitlines() if _TROUBLE.search(line))[-3:]
    if not monitor.is_running:
        remedy = "sudo systemctl restart cakravia-monitor" if monitor.is_installed else "cakravia monitor run"
        yield Cause(Chapter.MONITORING, 90, "the monitor does not run", log, remedy)
        return
    if not monitor.is_fresh:
        yield Cause(
            Chapter.MONITORING,
            85,
            "the monitor runs, but has written nothing for a while",
            log,
            "sudo systemctl restart cakravia-monitor; see why it hangs in its log",
        )
    silent = [str(each.get("name")) for each in monitor.state.get("sources") or () if each.get("is_silent")]
    if silent:
        yield Cause(
            Chapter.MONITORING,
            70,
            f"the monitor gets no readings of {', '.join(silent)}",
            log,
            "read its log: cakravia monitor status names it",
        )
    if trouble := str(monitor.state.get("trouble") or ""):
        yield Cause(Chapter.MONITORING, 75, "the monitor cannot store what it sees", (trouble,), "free disk space")
    if not monitor.has_channels:
        yield Cause(
            Chapter.MONITORING,
            50,
            "no message is sent: no channel is set",
            (),
            "name one in [[notify.channels]] (docs/MONITORING.md)",
        )
