"""The monitor as an operator runs it: a process of its own beside a real site."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cakravia_verify.slots import Colour
from tests.monitor.live_site import LiveSite, is_open

pytestmark = pytest.mark.real
INTERVAL = 0.3
CHANNEL = '[[notify.channels]]\nname = "ops"\nkind = "command"\ncommand = ["sh", "-c", "cat >> got; echo >> got"]\n'


@pytest.fixture
def make_site(tmp_path: Path) -> Iterator[Callable[..., LiveSite]]:
    sites: list[LiveSite] = []

    def make(**settings: Any) -> LiveSite:
        sites.append(LiveSite(tmp_path / f"site-{len(sites)}", interval=INTERVAL, timeout=INTERVAL, **settings))
        return sites[-1]

    yield make
    for site in sites:
        site.tear_down()


@pytest.fixture
def site(make_site: Callable[..., LiveSite]) -> LiveSite:
    """v2 serves from green, v1 waits in blue, and messages are appended to the file `got`."""
    made = make_site(rest=CHANNEL)
    made.deploy("v1")
    made.deploy("v2")
    return made


def messages(site: LiveSite) -> list[dict[str, Any]]:
    got = site.folder / "got"
    return [json.loads(line) for line in got.read_text().splitlines() if line] if got.exists() else []


def await_message(site: LiveSite, topic: str, *, count: int = 1, seconds: float = 20.0) -> dict[str, Any]:
    ends = time.monotonic() + seconds
    while len(found := [each for each in messages(site) if each["topic"] == topic]) < count:
        assert time.monotonic() < ends, site.log.read_text()
        time.sleep(0.05)
    return found[-1]


def test_an_outage_is_told_with_the_last_change_and_its_end_too(site: LiveSite) -> None:
    with site.monitored():
        site.order(Colour.GREEN, "error")
        message = await_message(site, "firing")
        site.order(Colour.GREEN, "")
        await_message(site, "resolved")
    assert message["urgency"] == "page"
    for expected in ("status 500", "v2 was promoted", "a rollback to v1 would succeed", "cakravia rollback"):
        assert expected in message["text"]


@pytest.mark.parametrize(
    "order", ["error", *(pytest.param(order, marks=pytest.mark.slow) for order in ("hang", "sick"))]
)
def test_a_fault_is_told_within_three_intervals_and_a_second(order: str, site: LiveSite) -> None:
    with site.monitored():
        began = time.time()
        site.order(Colour.GREEN, order)
        message = await_message(site, "firing")
    # Asserted on the instant in the message; a busy machine may take longer to start the channel's program.
    assert message["at"] - began <= 3 * INTERVAL + 1 + 1.0


def test_releases_beside_a_running_monitor_send_no_message(site: LiveSite) -> None:
    with site.monitored():
        for number in range(3, 8):
            site.deploy(f"v{number}")
        site.await_state(lambda state: any(p["version"] == "v7" for p in state["facts"]["users"]["probes"]))
        time.sleep(5 * INTERVAL)
    assert messages(site) == []


@pytest.mark.slow
def test_the_first_release_of_a_site_sends_no_message(make_site: Callable[..., LiveSite]) -> None:
    site = make_site(rest=CHANNEL)
    with site.monitored():
        site.deploy("v1")
        site.await_state(lambda state: state["facts"]["blue"]["is_there"])
        time.sleep(8 * INTERVAL)
    assert messages(site) == []


@pytest.mark.slow
def test_an_outage_in_the_middle_of_a_release_is_told(site: LiveSite) -> None:
    def break_users() -> None:
        for colour in Colour:
            site.order(colour, "error")
        await_message(site, "firing")
        for colour in Colour:
            site.order(colour, "")

    with site.monitored():
        site.deploy("v3", after_switch=break_users)
    assert "users were switched to v3" in messages(site)[0]["text"]


@pytest.mark.slow
def test_taking_the_site_down_sends_nothing(site: LiveSite) -> None:
    with site.monitored():
        assert site.cakravia("down").returncode == 0
        time.sleep(8 * INTERVAL)
    assert messages(site) == []


def test_a_monitor_killed_in_an_outage_goes_on_where_it_was(site: LiveSite) -> None:
    with site.monitored() as first:
        site.order(Colour.GREEN, "error")
        await_message(site, "firing")
        first.send_signal(signal.SIGKILL)
        first.wait(10)
    with site.monitored():
        time.sleep(6 * INTERVAL)
        site.order(Colour.GREEN, "")
        await_message(site, "resolved")
    # Killed after a delivery and before it was noted, a message comes again under the same id.
    told = {each["id"]: each["topic"] for each in messages(site)}
    assert list(told.values()) == ["firing", "resolved"]


@pytest.mark.slow
def test_a_dead_idle_slot_is_a_warning_only(site: LiveSite) -> None:
    with site.monitored():
        site.stop_slot(Colour.BLUE)
        message = await_message(site, "firing")
    assert message["urgency"] == "warning"
    assert "idle-slot" in message["text"]


@pytest.mark.slow
def test_failing_pages_use_up_the_error_budget_though_every_probe_is_good(
    make_site: Callable[..., LiveSite],
) -> None:
    site = make_site(proxy='access_log = "file"', rest=CHANNEL)
    site.deploy("v1")
    with site.monitored():
        site.await_state(lambda state: "traffic" in state["facts"])
        site.order(Colour.BLUE, "pages")
        for _ in range(60):
            assert httpx.get(f"http://127.0.0.1:{site.users}/page", trust_env=False).status_code == 500
        message = await_message(site, "firing", seconds=40)
    assert message["urgency"] == "page"
    assert re.search(r"(\d+) of \1 requests failed in 5 min", message["text"])


@pytest.mark.slow
def test_a_second_monitor_of_the_same_site_refuses_to_start(site: LiveSite) -> None:
    with site.monitored():
        second = site.cakravia("monitor", "run")
    assert second.returncode == 4
    assert "runs already" in second.stderr


def test_status_tells_what_is_seen_and_exits_by_it(site: LiveSite) -> None:
    never = site.cakravia("monitor", "status")
    assert never.returncode == 1
    with site.monitored():
        good = site.cakravia("monitor", "status", "--json")
        site.order(Colour.GREEN, "error")
        site.await_state(is_open("site"))
        bad = site.cakravia("monitor", "status")
    ended = site.cakravia("monitor", "status", "--json")
    assert (good.returncode, bad.returncode, ended.returncode) == (0, 2, 1)
    state = json.loads(good.stdout)
    assert state["is_running"] is True
    assert state["active"] == "green"
    assert json.loads(ended.stdout)["is_running"] is False


@pytest.mark.slow
def test_every_look_back_has_text_and_json(site: LiveSite) -> None:
    with site.monitored():
        site.order(Colour.GREEN, "error")
        await_message(site, "firing")
    for command in ("report", "history", "alerts", "logs"):
        text = site.cakravia("monitor", command)
        told = site.cakravia("monitor", command, "--json")
        assert (text.returncode, told.returncode) == (0, 0), text.stderr + told.stderr
        assert text.stdout.strip()
        if command in ("report", "alerts"):
            json.loads(told.stdout)
        else:
            assert [json.loads(line) for line in told.stdout.splitlines()]


@pytest.mark.slow
def test_an_acknowledgement_reaches_the_running_monitor(site: LiveSite) -> None:
    with site.monitored():
        assert site.cakravia("monitor", "alerts", "ack", "site").returncode == 4
        site.order(Colour.GREEN, "error")
        site.await_state(is_open("site"))
        assert site.cakravia("monitor", "alerts", "ack", "site").returncode == 0
        site.await_state(lambda state: any(alert["acknowledged_by"] for alert in state["alerts"]))


@pytest.mark.slow
def test_a_silence_reaches_the_running_monitor_and_ends(site: LiveSite) -> None:
    with site.monitored():
        made = site.cakravia("monitor", "alerts", "silence", "*", "--hours", "1", "--reason", "a test")
        assert made.returncode == 0
        time.sleep(1.5)
        site.order(Colour.GREEN, "error")
        site.await_state(is_open("site"))
        time.sleep(3 * INTERVAL)
        assert messages(site) == []
        assert site.cakravia("monitor", "alerts", "unsilence", "1").returncode == 0
        await_message(site, "firing")


@pytest.mark.slow
def test_a_test_message_reaches_the_channel(site: LiveSite) -> None:
    with site.monitored():
        assert site.cakravia("monitor", "alerts", "test").returncode == 0
        await_message(site, "test")


def test_systemd_hears_that_the_service_is_ready_and_alive(site: LiveSite) -> None:
    path = site.folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(path))
        channel.settimeout(20)
        process = site.start_monitor(NOTIFY_SOCKET=str(path))
        try:
            heard = {channel.recv(4096).decode().partition("=")[0] for _ in range(12)}
        finally:
            process.terminate()
            process.wait(20)
    assert {"READY", "WATCHDOG"} <= heard


@pytest.mark.slow
@pytest.mark.parametrize("broken", ["samples.db", pytest.param("alerts.db", marks=pytest.mark.slow)])
def test_a_corrupt_file_is_told_and_monitoring_goes_on(broken: str, site: LiveSite) -> None:
    folder = site.folder / ".cakravia" / "monitor"
    folder.mkdir(parents=True)
    (folder / broken).write_bytes(b"this is no database" * 1000)
    with site.monitored():
        site.order(Colour.GREEN, "error")
        await_message(site, "firing")
        site.await_state(lambda state: "corrupt" in state.get("trouble", ""), seconds=40)
    assert list(folder.glob(f"{broken}.corrupt-*"))


def test_the_log_goes_on_in_a_new_file_after_rotation(site: LiveSite) -> None:
    with site.monitored():
        site.log.rename(site.log.with_suffix(".1"))
        site.order(Colour.GREEN, "error")
        site.await_state(is_open("site"))
    assert "alert site fired" in site.log.read_text()


@pytest.mark.slow
def test_a_channel_that_hangs_delays_no_probe(make_site: Callable[..., LiveSite]) -> None:
    hanging = CHANNEL + '[[notify.channels]]\nname = "slow"\nkind = "command"\ncommand = ["sleep", "60"]\n'
    site = make_site(rest=hanging)
    site.deploy("v1")
    with site.monitored():
        site.order(Colour.BLUE, "error")
        await_message(site, "firing")
        before = site.state()["facts"]["users"]["at"]
        site.await_state(lambda state: state["facts"]["users"]["at"] > before + 4 * INTERVAL)


@pytest.mark.slow
def test_the_state_of_a_site_that_was_never_released_is_quiet(make_site: Callable[..., LiveSite]) -> None:
    site = make_site(rest=CHANNEL)
    with site.monitored():
        time.sleep(6 * INTERVAL)
    assert messages(site) == []


def test_nothing_of_the_monitor_is_left_after_a_signal(site: LiveSite) -> None:
    process = site.start_monitor()
    site.await_state(lambda state: "users" in state["facts"])
    process.terminate()
    assert process.wait(20) == 0
    assert subprocess.run(["pgrep", "-f", str(site.log)], capture_output=True, check=False).stdout == b""
