"""An outage that does not happen."""

from __future__ import annotations

import time

import pytest

from cakravia_verify.monitor.rehearsal import rehearse
from cakravia_verify.settings.models import Settings
from cakravia_verify.settings.monitor import ChannelSettings, MonitorSettings, NotifySettings


@pytest.mark.parametrize(("down", "up"), [(1, 1), (2, 5), (4, 20)])
@pytest.mark.parametrize("interval", [0.2, 2.0, 60.0])
def test_an_outage_fires_and_resolves_by_the_settings(down: int, up: int, interval: float) -> None:
    monitor = MonitorSettings(down=down, up=up, interval=interval)
    found = rehearse(Settings(monitor=monitor), now=time.time())
    assert found.has_fired
    assert "users get no good answer" in found.title
    assert down <= found.bad_rounds <= down + 2
    assert found.good_rounds == up


def test_the_message_of_an_outage_waits_for_every_channel() -> None:
    channels = tuple(
        ChannelSettings(name=least, kind="command", command=("true",), least=least)
        for least in ("info", "warning", "page")
    )
    found = rehearse(Settings(notify=NotifySettings(channels=channels)), now=time.time())
    assert found.told == ("info", "page", "warning")
