"""What the running monitor shows: pages, live updates, metrics and actions, as far as the settings open them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cakravia_verify.monitor.alerts.model import Alert
from cakravia_verify.monitor.alerts.view import View
from cakravia_verify.monitor.database import Database
from cakravia_verify.monitor.facts import ProbeTarget
from cakravia_verify.monitor.store.samples import MetricSample
from cakravia_verify.monitor.web.doorbell import Doorbell
from cakravia_verify.proxy.monitor_pages import has_pages
from cakravia_verify.settings.models import Settings

if TYPE_CHECKING:
    from cakravia_verify.monitor.metrics import MonitorMetrics
    from cakravia_verify.monitor.web.publisher import PagePublisher
    from cakravia_verify.monitor.web.server import WebServer


class WebSide:
    """Pages and port of one monitor. Without settings for them it does nothing and costs nothing."""

    def __init__(self, settings: Settings, database: Database, *, log: Callable[[str], None]) -> None:
        self._settings = settings
        self._database = database
        self._log = log
        self._bell = Doorbell()
        self._publisher = self._open_publisher()
        self._metrics = self._open_metrics()
        self._server: WebServer | None = None
        self._state: Mapping[str, Any] = {}

    def observe(self, samples: Sequence[MetricSample]) -> None:
        """Count new samples for Prometheus."""
        if self._metrics is not None:
            self._metrics.observe(samples)

    def show(self, state: Mapping[str, Any], *, at_once: bool) -> None:
        """Take what the monitor sees now."""
        self._state = state
        if self._publisher is not None:
            self._publisher.show(state, at_once=at_once)

    def start(self) -> None:
        """Write pages and listen. An address that is taken costs live updates, and nothing else."""
        if self._publisher is not None:
            self._publisher.start()
        address = self._settings.monitor.listen_address
        if address is None or self._metrics is None:
            return
        from cakravia_verify.monitor.web.server import WebParts, WebServer

        parts = WebParts(self._settings.monitor, self._database, self._bell, self._metrics.exposition, self._log)
        try:
            self._server = WebServer(address, parts)
        except OSError as error:
            self._log(f"[monitor] listen: {address} cannot be used: {error.strerror}; pages are not updated live")
            return
        self._server.begin()

    def stop(self) -> None:
        if self._server is not None:
            self._server.end()
        if self._publisher is not None:
            self._publisher.stop()

    # Each part is loaded when the settings open it.

    def _open_publisher(self) -> PagePublisher | None:
        if not has_pages(self._settings.monitor):
            return None
        from cakravia_verify.monitor.web.publisher import open_publisher

        return open_publisher(self._settings, self._bell, log=self._log)

    def _open_metrics(self) -> MonitorMetrics | None:
        if not self._settings.monitor.listen:
            return None
        from cakravia_verify.monitor.metrics import MonitorMetrics

        return MonitorMetrics(self._settings, state=lambda: self._state)


def newsworthy(view: View, alerts: Iterable[Alert]) -> tuple[Any, ...]:
    """Return what a page should show at once when it differs: alerts, switches, releases, answers to users."""
    users = view.rounds.get(ProbeTarget.USERS)
    return (
        view.active,
        view.release and (view.release.purpose, view.release.last_change),
        users and users.is_good,
        tuple((alert.name, alert.state, alert.acknowledged_by) for alert in alerts),
    )
