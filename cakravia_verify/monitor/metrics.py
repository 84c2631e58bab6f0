"""/metrics for Prometheus: counters of probes and requests, and what the monitor sees now.

Base units (seconds, bytes, ratios). Labels have few values: targets, endpoints of the contract, slots, alerts, sources,
disks of the site and channels. A version is a label of the two slots alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from cakravia_verify.monitor.alerts.rules import rules_for
from cakravia_verify.monitor.facts import ProbeTarget
from cakravia_verify.monitor.store.samples import MetricSample
from cakravia_verify.settings.models import Settings
from cakravia_verify.slots import Colour

PREFIX: Final = "cakravia"
BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
MOST_DISKS: Final = 10


class MonitorMetrics:
    """The metrics of one site. `observe` gets every sample; `state` returns what the monitor sees now."""

    def __init__(self, settings: Settings, *, state: Callable[[], Mapping[str, Any]]) -> None:
        # Two more series for each counter, which no rule needs.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self._lock = threading.Lock()
        self._probes = Histogram(
            f"{PREFIX}_probe_duration_seconds",
            "Whole duration of answered and failed probes.",
            ("target", "endpoint"),
            buckets=BUCKETS,
            registry=self._registry,
        )
        self._failures = Counter(
            f"{PREFIX}_probe_failures",
            "Probes without a good answer.",
            ("target", "endpoint", "reason"),
            registry=self._registry,
        )
        self._requests = Counter(f"{PREFIX}_requests", "Requests of users.", registry=self._registry)
        self._failed = Counter(
            f"{PREFIX}_requests_failed", "Requests of users with status 500 and above.", registry=self._registry
        )
        ProcessCollector(registry=self._registry)
        self._registry.register(_StateCollector(settings, state))

    def observe(self, samples: Sequence[MetricSample]) -> None:
        """Count new samples."""
        for sample in samples:
            kind, _, rest = sample.series.partition("/")
            if kind == "probe":
                target, _, endpoint = rest.partition("/")
                self._probes.labels(target, endpoint).observe(sample.value)
                if sample.is_bad:
                    self._failures.labels(target, endpoint, sample.outcome.name.lower()).inc()
            elif sample.series == "traffic/requests":
                self._requests.inc(sample.value)
            elif sample.series == "traffic/failed":
                self._failed.inc(sample.value)

    def exposition(self) -> tuple[str, bytes]:
        """Return content type and text of /metrics."""
        with self._lock:
            return CONTENT_TYPE_LATEST, generate_latest(self._registry)


class _StateCollector(Collector):
    """What the monitor sees now, read when it is asked for."""

    def __init__(self, settings: Settings, state: Callable[[], Mapping[str, Any]]) -> None:
        self._settings = settings
        self._state = state
        self._urgencies = {rule.name: str(rule.policy.urgency) for rule in rules_for(settings.monitor)}

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        state = self._state()
        facts: Mapping[str, Any] = state.get("facts") or {}
        yield from self._monitor(state)
        yield from _site(state, facts)
        yield from _proxy((facts.get("drift") or {}).get("usage") or {})
        yield from _slots(state, facts.get("platform") or {})
        yield from _machine(facts)
        yield from _release(facts)
        yield from self._alerts(state)

    def _monitor(self, state: Mapping[str, Any]) -> Iterator[Metric]:
        names = {"version": str(state.get("version", "")), "site": self._settings.site.name}
        yield InfoMetricFamily(f"{PREFIX}_monitor", "The monitor and its site.", value=names)
        yield _gauge("monitor_state_timestamp_seconds", "When the monitor last judged.", state.get("at"))
        yield _counter("monitor_samples_dropped", "Samples that could not be stored.", state.get("dropped_samples"))
        trouble = float(bool(state.get("trouble")))
        yield _gauge("monitor_trouble", "Whether samples or alerts cannot be stored.", trouble)
        late = GaugeMetricFamily(f"{PREFIX}_monitor_source_silent", "Whether a source is late.", labels=("source",))
        for source in state.get("sources") or ():
            late.add_metric((source["name"],), float(source["is_silent"]))
        yield late
        yield _gauge("objective_ratio", "Share of requests that must succeed.", self._settings.monitor.objective)

    def _alerts(self, state: Mapping[str, Any]) -> Iterator[Metric]:
        firing = GaugeMetricFamily(f"{PREFIX}_alert_open", "Whether an alert is open.", labels=("alert", "urgency"))
        opened = {alert["name"]: alert["is_open"] for alert in state.get("alerts") or ()}
        for name, urgency in self._urgencies.items():
            firing.add_metric((name, urgency), float(opened.get(name, False)))
        yield firing


def _site(state: Mapping[str, Any], facts: Mapping[str, Any]) -> Iterator[Metric]:
    good = GaugeMetricFamily(f"{PREFIX}_target_good", "Whether the last round of probes was good.", labels=("target",))
    for target in ProbeTarget:
        if seen := facts.get(target):
            is_good = seen["is_there"] and not any(probe["problem"] for probe in seen["probes"])
            good.add_metric((str(target),), float(is_good))
    yield good
    active = GaugeMetricFamily(f"{PREFIX}_slot_active", "Whether users get this slot.", labels=("slot",))
    for colour in Colour:
        active.add_metric((str(colour),), float(state.get("active") == colour))
    yield active


def _proxy(usage: Mapping[str, Any]) -> Iterator[Metric]:
    yield _gauge("proxy_connections", "Connections of the fullest nginx worker.", usage.get("connections"))
    yield _gauge("proxy_connections_limit", "How many connections a worker may have.", usage.get("limit"))
    yield _counter("other_slot_answers", "Requests that the other slot answered.", usage.get("stand_ins"))


def _slots(state: Mapping[str, Any], platform: Mapping[str, Any]) -> Iterator[Metric]:
    slots: Sequence[Mapping[str, Any]] = platform.get("slots") or ()
    info = InfoMetricFamily(f"{PREFIX}_slot", "The version in a slot.", labels=("slot",))
    for slot in slots:
        info.add_metric((str(slot["colour"]),), {"version": str(slot["version"])[:100]})
    yield info
    gauges = {
        "is_running": ("slot_running", "Whether something runs in the slot."),
        "cpu": ("slot_cpu_cores", "CPU in use."),
        "memory": ("slot_memory_bytes", "Memory in use."),
        "memory_limit": ("slot_memory_limit_bytes", "Limit of its memory."),
    }
    counters = {
        "restarts": ("slot_restarts", "Restarts by the engine."),
        "received": ("slot_received_bytes", "Bytes received."),
        "sent": ("slot_sent_bytes", "Bytes sent."),
    }
    for key, (name, says) in gauges.items():
        yield _by_slot(GaugeMetricFamily(f"{PREFIX}_{name}", says, labels=("slot",)), slots, key)
    for key, (name, says) in counters.items():
        yield _by_slot(CounterMetricFamily(f"{PREFIX}_{name}", says, labels=("slot",)), slots, key)
    if platform:
        yield _gauge("proxy_running", "Whether nginx runs.", platform.get("is_proxy_running"))


def _by_slot(
    family: GaugeMetricFamily | CounterMetricFamily, slots: Sequence[Mapping[str, Any]], key: str
) -> GaugeMetricFamily | CounterMetricFamily:
    for slot in slots:
        if slot.get(key) is not None:
            family.add_metric((str(slot["colour"]),), float(slot[key]))
    return family


def _machine(facts: Mapping[str, Any]) -> Iterator[Metric]:
    host: Mapping[str, Any] = facts.get("host") or {}
    yield _gauge("host_load1", "Load of one minute.", host.get("load"))
    yield _gauge("host_cores", "Cores of this machine.", host.get("cores"))
    yield _gauge("host_memory_used_ratio", "Memory in use.", host.get("memory"))
    disks = GaugeMetricFamily(f"{PREFIX}_disk_used_ratio", "Use of a disk of the site.", labels=("folder",))
    for folder, share in list((host.get("disks") or {}).items())[:MOST_DISKS]:
        disks.add_metric((str(folder),), float(share))
    yield disks
    certificate: Mapping[str, Any] = facts.get("certificate") or {}
    yield _gauge("certificate_expiry_timestamp_seconds", "When the certificate ends.", certificate.get("ends_at"))
    vantage: Mapping[str, Any] = facts.get("vantage") or {}
    yield _gauge("host_online", "Whether this machine reaches another place.", vantage.get("is_online"))


def _release(facts: Mapping[str, Any]) -> Iterator[Metric]:
    release: Mapping[str, Any] = facts.get("release") or {}
    busy = bool(release.get("purpose")) if release else None
    yield _gauge("release_in_progress", "Whether a command holds the site.", busy)
    change: Mapping[str, Any] = release.get("last_change") or {}
    yield _gauge("last_change_timestamp_seconds", "The last change of what users get.", change.get("at"))
    rollback: Mapping[str, Any] = facts.get("rollback") or {}
    yield _gauge("rollback_possible", "Whether a rollback would succeed.", rollback.get("is_possible"))
    yield _gauge("rollback_expected_seconds", "Until users are back after a rollback.", rollback.get("users_back"))
    drift = facts.get("drift")
    yield _gauge("drift", "Disagreements between parts of the site.", len(drift["drift"]) if drift else None)


def _gauge(name: str, says: str, value: Any) -> GaugeMetricFamily:
    """Return a gauge; without a sample when nothing is known."""
    return GaugeMetricFamily(f"{PREFIX}_{name}", says, value=None if value is None else float(value))


def _counter(name: str, says: str, value: Any) -> CounterMetricFamily:
    return CounterMetricFamily(f"{PREFIX}_{name}", says, value=None if value is None else float(value))
