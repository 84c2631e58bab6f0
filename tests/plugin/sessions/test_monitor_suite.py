"""suites/monitor, run as an operator runs it: on a live site with a monitor that works, and with one that does not."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from cakravia_verify.monitor.web.access import new_password
from cakravia_verify.slots import Colour
from tests.monitor.live_site import LiveSite, is_open

CHANNEL = '[[notify.channels]]\nname = "ops"\nkind = "command"\ncommand = ["sh", "-c", "cat >> got"]\n'


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveSite]:
    made = LiveSite(
        tmp_path_factory.mktemp("monitored") / "site",
        monitor=f'vantage = []\npassword = "{new_password().hashed}"',
        rest=CHANNEL,
    )
    made.deploy("v1")
    yield made
    made.tear_down()


def checked(site: LiveSite, *more: str) -> tuple[int, dict[str, str]]:
    """Return the exit status and the checks that did not pass, with their reasons."""
    ended = site.cakravia("check", "monitor", "-q", *more, wait=120)
    verdict: dict[str, Any] = json.loads((site.folder / "reports" / "latest-check" / "verdict.json").read_text())
    bad = {each["title"]: each["detail"] for each in verdict["checks"] if each["standing"] != "passed"}
    return ended.returncode, bad


@pytest.mark.slow
def test_a_site_without_a_monitor_has_nothing_to_check(site: LiveSite) -> None:
    assert checked(site)[0] == 10


@pytest.mark.check
def test_a_monitor_that_works_passes_and_hears_of_nothing(site: LiveSite) -> None:
    with site.monitored():
        site.await_state(lambda state: state["facts"].get("release"))
        # Samples are stored every ten seconds.
        time.sleep(11)
        assert checked(site) == (0, {})
    assert not (site.folder / "got").exists()


@pytest.mark.slow
def test_an_open_alert_and_a_dead_monitor_are_named(site: LiveSite) -> None:
    with site.monitored() as monitor:
        site.order(Colour.BLUE, "error")
        site.await_state(is_open("site"))
        site.order(Colour.BLUE, "")
        monitor.send_signal(signal.SIGKILL)
        monitor.wait(10)
    status, bad = checked(site, "-k", "runs or open")
    assert status == 1
    assert set(bad) == {"test_the_monitor_runs_and_judges", "test_no_alert_is_open"}
    assert "cakravia monitor run" in bad["test_the_monitor_runs_and_judges"]
