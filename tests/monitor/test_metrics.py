"""/metrics, and the rules and the dashboard that are made of it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cakravia_verify.monitor.alerts.rules import rules_for
from cakravia_verify.monitor.facts import (
    CertificateFacts,
    DriftFacts,
    HostFacts,
    LastChange,
    PlatformFacts,
    Probe,
    ProbeTarget,
    ReleaseStatus,
    RollbackFacts,
    Round,
    SlotFacts,
    VantageFacts,
)
from cakravia_verify.monitor.metrics import MOST_DISKS, MonitorMetrics
from cakravia_verify.monitor.state import facts_as_json
from cakravia_verify.monitor.store.samples import MetricSample, Phases, ProbeOutcome
from cakravia_verify.proxy.protocol import ProxyUsage
from cakravia_verify.settings.models import Settings, SiteSettings
from cakravia_verify.settings.monitor import MonitorSettings
from cakravia_verify.slots import Colour

NOW = 1_764_432_000.0
SHIPPED = files("cakravia_verify.monitor").joinpath("prometheus")
PAGE = Path(__file__).parents[2] / "docs" / "MONITORING.md"
RULE_TESTS = """\
rule_files: [alerts.yml]
evaluation_interval: 15s
tests:
  - interval: 15s
    input_series:
      - {series: 'cakravia_monitor_info{instance="a", job="c"}', values: '1x80'}
      - {series: 'cakravia_monitor_state_timestamp_seconds{instance="a", job="c"}', values: '0+15x80'}
      - {series: 'cakravia_target_good{instance="a", job="c", target="users"}', values: '1x20 0x60'}
      - {series: 'cakravia_release_in_progress{instance="a", job="c"}', values: '0x80'}
      - {series: 'cakravia_drift{instance="a", job="c"}', values: '0x80'}
      - {series: 'cakravia_objective_ratio{instance="a", job="c"}', values: '0.999x80'}
      - {series: 'cakravia_requests_total{instance="a", job="c"}', values: '0+100x80'}
      - {series: 'cakravia_requests_failed_total{instance="a", job="c"}', values: '0+5x80'}
    alert_rule_test:
      - {eval_time: 4m, alertname: CakraviaUsersGetNoGoodAnswer, exp_alerts: []}
      - {eval_time: 4m, alertname: CakraviaMonitorSilent, exp_alerts: []}
      - {eval_time: 15m, alertname: CakraviaMonitorGone, exp_alerts: []}
      - {eval_time: 15m, alertname: CakraviaDrift, exp_alerts: []}
      - eval_time: 10m
        alertname: CakraviaUsersGetNoGoodAnswer
        exp_alerts:
          - exp_labels: {severity: page, instance: a, job: c, target: users}
            exp_annotations:
              summary: Users get no good answer (users).
              description: "Repair: cakravia recover. Go back: cakravia rollback."
      - eval_time: 15m
        alertname: CakraviaErrorBudgetBurns
        exp_alerts:
          - exp_labels: {severity: page, instance: a, job: c}
            exp_annotations:
              summary: Requests of users fail fast enough to use up the error budget of 30 days in two days.
  - interval: 15s
    input_series: [{series: 'up{instance="a", job="c"}', values: '0x80'}]
    alert_rule_test:
      - eval_time: 5m
        alertname: CakraviaMonitorGone
        exp_alerts:
          - exp_labels: {severity: page}
            exp_annotations:
              summary: No monitor answers Prometheus.
              description: "Look at it: systemctl status cakravia-monitor."
"""


def whole_state(*, disks: int = 1, version: str = "v2") -> Mapping[str, Any]:
    """Everything that a monitor can see."""
    slots = tuple(
        SlotFacts(colour, version, "id", True, NOW, 1, None, False, 0.2, 2**20, 2**29, 10, 20) for colour in Colour
    )
    facts: dict[str, Any] = {
        str(target): Round(target, NOW, (Probe("health", "", "green", "v2"),)) for target in ProbeTarget
    }
    facts |= {
        "platform": PlatformFacts(NOW, slots, True),
        "host": HostFacts(NOW, 0.5, 2, 0.4, {f"/srv/{number}": 0.5 for number in range(disks)}),
        "certificate": CertificateFacts(NOW, NOW + 86_400),
        "drift": DriftFacts(NOW, ("one", "two"), ProxyUsage(12, 16_384, 7, 3)),
        "vantage": VantageFacts(NOW, True, ""),
        "release": ReleaseStatus(NOW, "", True, False, Colour.GREEN, True, "", LastChange(NOW - 60, "v2")),
        "rollback": RollbackFacts(NOW, True, "v1", 0.4, "3 rollbacks"),
    }
    return {
        "at": NOW,
        "version": "0.3.0",
        "active": "green",
        "trouble": "",
        "dropped_samples": 3,
        "facts": facts_as_json(facts),
        "sources": [{"name": "users", "is_silent": False, "problem": "", "reported_at": NOW}],
        "alerts": [{"name": "site", "is_open": True}],
    }


def metrics_of(state: Mapping[str, Any]) -> MonitorMetrics:
    made = MonitorMetrics(Settings(site=SiteSettings(name="shop")), state=lambda: state)
    made.observe(
        [
            MetricSample("probe/users/health", NOW, 0.004, phases=Phases()),
            MetricSample("probe/users/health", NOW, 2.0, ProbeOutcome.NO_ANSWER, phases=Phases()),
            MetricSample("traffic/requests", NOW, 120.0),
            MetricSample("traffic/failed", NOW, 2.0),
            MetricSample("slot/blue/cpu", NOW, 0.5),
        ]
    )
    return made


def values_of(made: MonitorMetrics) -> dict[str, float]:
    """Return every sample by its name with its labels, as in 'cakravia_slot_active{slot="green"}'."""
    return {
        sample.name
        + ("{" + ",".join(f'{key}="{value}"' for key, value in sample.labels.items()) + "}" if sample.labels else ""):
        sample.value
        for family in text_string_to_metric_families(made.exposition()[1].decode())
        for sample in family.samples
    }  # fmt: skip


def names_of(made: MonitorMetrics) -> set[str]:
    return {name.partition("{")[0] for name in values_of(made)}


@pytest.fixture(scope="module")
def made() -> MonitorMetrics:
    return metrics_of(whole_state())


def promtool(*arguments: str, content: bytes = b"", folder: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("there is no promtool on the PATH: install Debian's package prometheus")
    return subprocess.run([program, *arguments], input=content, capture_output=True, check=False, cwd=folder)


def test_what_is_seen_has_its_value(made: MonitorMetrics) -> None:
    values = values_of(made)
    for name, value in {
        'cakravia_slot_active{slot="green"}': 1.0,
        'cakravia_slot_active{slot="blue"}': 0.0,
        'cakravia_slot_info{slot="green",version="v2"}': 1.0,
        'cakravia_target_good{target="users"}': 1.0,
        'cakravia_alert_open{alert="site",urgency="page"}': 1.0,
        'cakravia_alert_open{alert="disk",urgency="warning"}': 0.0,
        "cakravia_requests_total": 120.0,
        "cakravia_requests_failed_total": 2.0,
        'cakravia_probe_failures_total{endpoint="health",reason="no_answer",target="users"}': 1.0,
        'cakravia_probe_duration_seconds_count{endpoint="health",target="users"}': 2.0,
        "cakravia_drift": 2.0,
        "cakravia_proxy_connections": 12.0,
        "cakravia_proxy_connections_limit": 16_384.0,
        "cakravia_other_slot_answers_total": 7.0,
        "cakravia_rollback_possible": 1.0,
        "cakravia_monitor_samples_dropped_total": 3.0,
    }.items():
        assert values.get(name) == value, name


@pytest.mark.check
def test_promtool_finds_nothing_wrong_with_the_metrics(made: MonitorMetrics) -> None:
    done = promtool("check", "metrics", content=made.exposition()[1])
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_a_monitor_that_saw_nothing_yet_has_metrics_too() -> None:
    values = values_of(MonitorMetrics(Settings(), state=dict))
    assert values["cakravia_requests_total"] == 0.0
    assert "cakravia_drift" not in values


def test_many_versions_and_disks_do_not_make_many_series() -> None:
    state: dict[str, Any] = {}
    made = MonitorMetrics(Settings(), state=lambda: state)
    for number in range(200):
        state.clear()
        state.update(whole_state(disks=200, version=f"v{number}-{'x' * 1000}"))
        values = values_of(made)
    assert sum(name.startswith("cakravia_slot_info") for name in values) == 2
    assert sum(name.startswith("cakravia_disk_used_ratio") for name in values) == MOST_DISKS
    assert len(values) < 200


def test_a_hostile_version_stays_one_label() -> None:
    made = metrics_of(whole_state(version='v"2\n{}\\ # HELP x'))
    assert 'cakravia_slot_info{slot="blue",version="v"2\n{}\\ # HELP x"}' in values_of(made)


def test_every_alert_of_the_monitor_has_a_series(made: MonitorMetrics) -> None:
    found = set(re.findall(r'cakravia_alert_open\{alert="([a-z-]+)"', "\n".join(values_of(made))))
    assert found == {rule.name for rule in rules_for(MonitorSettings())}


def used_in(text: str) -> set[str]:
    return set(re.findall(r"\b(?:cakravia|process)_[a-z0-9_]+", text))


def test_rules_use_metrics_that_exist(made: MonitorMetrics) -> None:
    text = SHIPPED.joinpath("alerts.yml").read_text(encoding="utf-8")
    used = {name for line in re.findall(r"(?:expr:|^ {10})(.*)", text, re.MULTILINE) for name in used_in(line)}
    assert used
    assert used <= names_of(made)


def expressions(board: Any) -> Iterator[str]:
    for panel in board["panels"]:
        yield from (target["expr"] for target in panel["targets"])
    yield from (each["expr"] for each in board["annotations"]["list"])
    yield from (each["query"] for each in board["templating"]["list"])


def test_the_dashboard_uses_metrics_that_exist(made: MonitorMetrics) -> None:
    board = json.loads(SHIPPED.joinpath("dashboard.json").read_text(encoding="utf-8"))
    used = {name for each in expressions(board) for name in used_in(each)}
    assert len(used) > 20
    assert used <= names_of(made)


@pytest.mark.check
def test_every_expression_of_the_dashboard_is_accepted(tmp_path: Path) -> None:
    board = json.loads(SHIPPED.joinpath("dashboard.json").read_text(encoding="utf-8"))
    rules = [
        {"record": f"panel:{number}", "expr": each}
        for number, each in enumerate(expressions(board))
        if not each.startswith("label_values") and each != "prometheus"
    ]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "board", "rules": rules}]}))
    done = promtool("check", "rules", "rules.yml", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.check
def test_promtool_accepts_the_rules_and_they_fire_when_they_should(tmp_path: Path) -> None:
    (tmp_path / "alerts.yml").write_bytes(SHIPPED.joinpath("alerts.yml").read_bytes())
    (tmp_path / "tests.yml").write_text(RULE_TESTS)
    checked = promtool("check", "rules", "alerts.yml", folder=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    tested = promtool("test", "rules", "tests.yml", folder=tmp_path)
    assert tested.returncode == 0, tested.stdout + tested.stderr


@pytest.mark.check
def test_promtool_accepts_the_scrape_configuration(tmp_path: Path) -> None:
    scrape = SHIPPED.joinpath("scrape.yml").read_text(encoding="utf-8")
    scrape = scrape.replace("/etc/prometheus/cakravia-password", "password")
    (tmp_path / "password").write_text("x")
    (tmp_path / "prometheus.yml").write_text("scrape_configs:\n" + scrape)
    done = promtool("check", "config", "prometheus.yml", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_documentation_lists_every_metric(made: MonitorMetrics) -> None:
    listed = set(re.findall(r"`(cakravia_[a-z0-9_]+)`", PAGE.read_text(encoding="utf-8")))
    ours = {name for name in names_of(made) if name.startswith("cakravia_")}
    assert listed == {re.sub(r"_(bucket|count|sum)$", "", name) for name in ours}
