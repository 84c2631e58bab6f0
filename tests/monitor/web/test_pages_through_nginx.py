"""The pages as a person gets them: a real site, its nginx, and a monitor as a process of its own."""

from __future__ import annotations

import json
import re
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from cakravia_verify.monitor.web.access import new_password, new_token
from cakravia_verify.slots import Colour
from tests.monitor.live_site import LiveSite, is_open
from tests.ports import free_ports

if TYPE_CHECKING:
    from tests.monitor.web.conftest import Window

pytestmark = pytest.mark.real
PASSWORD, TOKEN = new_password(), new_token()
READER = ("monitor", PASSWORD.text)
PRIVATE = ("monitor.html", "monitor.json", "monitor.facts.json", "monitor.events", "monitor.act", "monitor.reports/x")


class Watched:
    """A site with its monitor, which is started again when a test has killed it."""

    def __init__(self, folder: Path) -> None:
        (port,) = free_ports(1)
        monitor = (
            f'vantage = []\npassword = "{PASSWORD.hashed}"\nlisten = "127.0.0.1:{port}"\n'
            f'actions = "{TOKEN.hashed}"\npublic = true'
        )
        self.site = LiveSite(folder, monitor=monitor)
        self.site.deploy("v1")
        self.site.deploy("v2")
        self.process: subprocess.Popen[bytes] | None = None

    def watch(self) -> None:
        if self.process is None:
            began = time.time()
            self.process = self.site.start_monitor()
            await_page(self.site, lambda facts: facts["version"] == "v2" and facts["monitor"]["started_at"] >= began)

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(20)
            self.process = None


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """v2 serves from green, v1 waits in blue; page, status page, live updates and actions are open."""
    made = Watched(tmp_path_factory.mktemp("pages") / "site")
    yield made
    made.end()
    made.site.tear_down()


@pytest.fixture
def site(watched: Watched) -> LiveSite:
    watched.watch()
    return watched.site


def get(site: LiveSite, name: str, **options: Any) -> httpx.Response:
    return httpx.get(f"http://127.0.0.1:{site.users}/{name}", trust_env=False, **({"auth": READER} | options))


def await_page(site: LiveSite, holds: Callable[[dict[str, Any]], object], *, seconds: float = 30.0) -> dict[str, Any]:
    """Return the first facts behind the page that hold."""
    ends = time.monotonic() + seconds
    while True:
        answer = get(site, "monitor.facts.json")
        if answer.status_code == 200 and holds(answer.json()):
            facts: dict[str, Any] = answer.json()
            return facts
        assert time.monotonic() < ends, f"{answer.status_code} {answer.text[:2000]}\n{site.log.read_text()}"
        time.sleep(0.05)


@pytest.mark.check
def test_the_page_opens_with_the_password_and_outlives_the_monitor(site: LiveSite, watched: Watched) -> None:
    facts = await_page(site, lambda facts: facts["headline"]["standing"] == "good")
    assert (facts["active"], facts["version"]) == ("green", "v2")
    assert [(each["version"], each["colour"]) for each in facts["lanes"]["switches"]] == [
        ("v1", "blue"),
        ("v2", "green"),
    ]
    watched.end(signal.SIGKILL)
    page, data = get(site, "monitor.html"), get(site, "monitor.json")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    assert page.headers["X-Frame-Options"] == "DENY"
    assert data.json()["at"] <= time.time()
    assert "Users get v2 from green" in data.json()["sections"]["headline"]


def test_strangers_get_nothing_but_the_status_page(site: LiveSite) -> None:
    for name in PRIVATE:
        for auth in (None, ("monitor", "wrong"), ("root", PASSWORD.text)):
            answer = get(site, name, auth=auth)
            assert answer.status_code == 401, name
            assert "v2" not in answer.text
    public = get(site, "status.json", auth=None)
    assert public.json()["headline"]["text"] == "The site works"
    assert not re.search("v2|green|blue", public.text)
    assert get(site, "status.html", auth=None).status_code == 200


def test_the_port_of_the_monitor_is_not_reached_through_the_proxy(site: LiveSite) -> None:
    # These are the application's own paths, as before.
    assert get(site, "metrics").headers["X-Deployment-Version"] == "v2"
    assert get(site, "live").headers["X-Deployment-Version"] == "v2"
    assert get(site, "monitor").headers["X-Deployment-Version"] == "v2"


def test_an_outage_reaches_an_open_page_at_once_and_is_acknowledged_there(site: LiveSite) -> None:
    with httpx.stream(
        "GET", f"http://127.0.0.1:{site.users}/monitor.events", auth=READER, trust_env=False, timeout=30
    ) as stream:
        lines = stream.iter_lines()
        next(lines)
        site.order(Colour.GREEN, "error")
        site.await_state(is_open("site"))
        next(line for line in lines if line.startswith("data:"))
    await_page(site, lambda facts: facts["headline"]["text"] == "Users get no good answer")
    assert get(site, "status.json", auth=None).json()["headline"]["standing"] == "bad"
    answer = httpx.post(
        f"http://127.0.0.1:{site.users}/monitor.act",
        auth=READER,
        headers={"X-Monitor-Token": TOKEN.text},
        json={"act": "acknowledge", "name": "site", "reason": "on it"},
        trust_env=False,
    )
    assert answer.status_code == 200, answer.text
    await_page(site, lambda facts: any(each["acknowledged_by"] == "the page: on it" for each in facts["alerts"]))
    site.order(Colour.GREEN, "")
    site.await_state(lambda state: not any(alert["is_open"] for alert in state["alerts"]))


def test_reports_are_behind_the_password_and_can_do_nothing(site: LiveSite) -> None:
    folder = site.open().settings.reports / "r-v2-2"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.html").write_text("<!DOCTYPE html><title>a report</title>")
    answer = get(site, "monitor.reports/r-v2-2/report.html")
    assert "a report" in answer.text
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    for path in ("monitor.reports/../.cakravia/history", "monitor.reports/..%2f.cakravia/history", "monitor.reports/"):
        answer = get(site, path)
        # A path that leads out of the folder is one of the application's.
        assert answer.status_code in (400, 403, 404) or answer.headers["X-Deployment-Version"] == "v2"
    assert get(site, "monitor.reports/r-v2-2/report.html", auth=None).status_code == 401


def test_files_of_the_page_are_for_their_owner_alone(site: LiveSite) -> None:
    settings = site.open().settings
    files = [*(settings.state / "monitor" / "web").iterdir(), settings.state / "nginx" / "monitor.htpasswd"]
    assert len(files) >= 6
    assert {stat.S_IMODE(each.stat().st_mode) for each in files} == {0o600}
    assert PASSWORD.text not in "".join(each.read_text() for each in files)


def test_metrics_come_from_the_monitors_own_port(site: LiveSite) -> None:
    site.await_state(lambda state: state.get("facts", {}).get("platform"))
    address = site.open().settings.monitor.listen
    text = httpx.get(f"http://{address}/metrics", auth=READER, trust_env=False).text
    assert 'cakravia_slot_active{slot="green"} 1.0' in text
    assert re.search(r'cakravia_probe_duration_seconds_count\{endpoint="health",target="users"\} [1-9]', text)


@pytest.mark.slow
def test_the_offline_page_is_written_while_the_monitor_runs_and_after(
    site: LiveSite, watched: Watched, tmp_path: Path
) -> None:
    while_it_runs = site.cakravia("monitor", "report", "--html", str(tmp_path / "now.html"))
    watched.end()
    after = site.cakravia("monitor", "report", "--html", str(tmp_path / "later.html"))
    assert (while_it_runs.returncode, after.returncode) == (0, 0), while_it_runs.stderr + after.stderr
    assert "does not run" not in (tmp_path / "now.html").read_text()
    assert "The monitor does not run" in (tmp_path / "later.html").read_text()


def test_a_site_without_a_password_has_no_page(tmp_path: Path) -> None:
    site = LiveSite(tmp_path / "site")
    try:
        site.deploy("v1")
        assert get(site, "monitor.html").headers["X-Deployment-Version"] == "v1"
        made = site.cakravia("monitor", "password")
        (hashed,) = re.findall(r'^password = "(.*)"$', made.stdout, re.MULTILINE)
        (password,) = re.findall(r"user monitor, password (\S+):", made.stdout)
        text = site.settings_file.read_text().replace("vantage = []", f'vantage = []\npassword = "{hashed}"')
        site.settings_file.write_text(text)
        assert site.cakravia("recover").returncode == 0
        assert get(site, "monitor.html", auth=None).status_code == 401
        absent = get(site, "monitor.html", auth=("monitor", password))
        assert (absent.status_code, "cakravia monitor run" in absent.text) == (404, True)
        with site.monitored():
            ends = time.monotonic() + 20
            while get(site, "monitor.html", auth=("monitor", password)).status_code != 200:
                assert time.monotonic() < ends, json.dumps(site.state())
                time.sleep(0.1)
    finally:
        site.tear_down()


def test_a_person_sees_an_outage_on_the_page_and_acknowledges_it(site: LiveSite, window: Window) -> None:
    window.console()
    window.open(f"http://{READER[0]}:{READER[1]}@127.0.0.1:{site.users}/monitor.html")
    window.await_that("document.getElementById('age').innerText.includes('live')")
    site.order(Colour.GREEN, "error")
    window.await_that("document.querySelector('button[data-act=acknowledge][data-name=site]')")
    assert window.run("return document.title").startswith("✗ shop")
    window.run("document.querySelector('button[data-act=acknowledge][data-name=site]').click()")
    window.run("document.getElementById('act-reason').value = 'on my way'")
    window.run("document.getElementById('act-token').value = arguments[0]", TOKEN.text)
    window.run("document.querySelector('#act button').click()")
    window.await_that("document.getElementById('s-alerts').innerText.includes('the page: on my way')")
    site.order(Colour.GREEN, "")
    assert [line for line in window.console() if "Content Security Policy" in line] == []
