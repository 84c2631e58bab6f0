"""docs/MONITORING.md lists every alert with its urgency, every state, and every kind of channel."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from cakravia_verify.monitor.alerts.model import State
from cakravia_verify.monitor.alerts.rules import rules_for
from cakravia_verify.settings.monitor import ChannelSettings, MonitorSettings

PAGE = (Path(__file__).parents[2] / "docs" / "MONITORING.md").read_text(encoding="utf-8")


def test_every_alert_stands_in_the_table_with_its_urgency() -> None:
    # Messages of a release have a table of their own.
    listed = dict(re.findall(r"^\| `(?!release-)([a-z-]+)` \| (page|warning|info) \|", PAGE, re.MULTILINE))
    assert listed == {rule.name: str(rule.policy.urgency) for rule in rules_for(MonitorSettings())}


def test_every_state_stands_in_the_table() -> None:
    assert all(f"| {state} |" in PAGE for state in State)


def test_every_kind_of_channel_stands_in_the_table() -> None:
    kinds = get_args(ChannelSettings.model_fields["kind"].annotation)
    assert all(re.search(rf"^\| `{kind}` \|", PAGE, re.MULTILINE) for kind in kinds)
