"""A real site for the monitor: nginx, and an application whose slots can be told to fail."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cakravia_verify.history.releases import PROMOTED
from cakravia_verify.release.machine import Release
from cakravia_verify.release.planning import planned
from cakravia_verify.release.steps import STEPS
from cakravia_verify.settings.loading import load_settings
from cakravia_verify.site.assembly import open_site
from cakravia_verify.site.site import Site
from cakravia_verify.slots import Colour
from cakravia_verify.system.clock import Deadline
from tests.ports import free_ports

ROOT = Path(__file__).resolve().parents[2]
APPLICATION = """
import json, os, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SLOT, VERSION, ORDERS = os.environ["DEPLOYMENT_SLOT"], os.environ["APP_VERSION"], os.environ["ORDERS"]

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        try:
            order = open(os.path.join(ORDERS, SLOT)).read()
        except OSError:
            order = ""
        if order == "hang":
            time.sleep(5)
        state = {"status": "unhealthy" if order == "sick" else "healthy"}
        if "deployment" in self.path:
            state = {"deployment": {"slot": SLOT, "version": VERSION, "status": "active"}}
        body = json.dumps(state).encode()
        is_bad = order == "error" or (order == "pages" and not self.path.startswith("/api"))
        self.send_response(500 if is_bad else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Deployment-Slot", SLOT)
        self.send_header("X-Deployment-Version", VERSION)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass

ThreadingHTTPServer.allow_reuse_address = True
ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Handler).serve_forever()
"""
SETTINGS = """\
[site]
name = "shop"
[slots]
blue = {blue}
green = {green}
[proxy]
listen = "127.0.0.1:{users}"
workers = 1
{proxy}
[app]
command = ["{{python}}", "app.py"]
source = "app"
environment = {{ ORDERS = "{orders}" }}
grace = 2.0
[health]
consecutive = 1
interval = 0.05
timeout = 0.5
deadline = 20.0
[release]
bake = 0.1
drain = 1.0
drain_minimum = 0.05
confirmations = 2
[monitor]
interval = {interval}
timeout = {timeout}
{monitor}
{rest}
"""


class LiveSite:
    """One site in a folder. `order` lets a slot fail; `deploy` makes a version active by the release's own steps."""

    def __init__(
        self,
        folder: Path,
        *,
        interval: float = 0.3,
        timeout: float = 0.3,
        proxy: str = "",
        monitor: str = "vantage = []",
        rest: str = "",
    ) -> None:
        self.folder = folder
        (folder / "app").mkdir(parents=True)
        (folder / "orders").mkdir()
        (folder / "app" / "app.py").write_text(APPLICATION)
        self.users, self.blue, self.green = free_ports(3)
        self.settings_file = folder / "cakravia.toml"
        self.settings_file.write_text(
            SETTINGS.format(
                users=self.users,
                blue=self.blue,
                green=self.green,
                orders=folder / "orders",
                interval=interval,
                timeout=timeout,
                proxy=proxy,
                monitor=monitor,
                rest=rest,
            )
        )
        self._number = 0

    def open(self) -> Site:
        return open_site(load_settings(self.settings_file, environment={}))

    def deploy(self, version: str, *, kind: str = "deploy", after_switch: Callable[[], None] = lambda: None) -> None:
        """Take every step of a release to the version, under the lock."""
        site = self.open()
        lease = site.lock.acquire(f"deploy of {version}")
        site.journal.token = lease.token
        state = site.observe()
        self._number += 1
        intent = planned(site, state, release=f"r-{version}-{self._number}", kind=kind, version=version)
        release = Release(site, intent, STEPS)
        release.start()
        release.advance("bake")
        after_switch()
        release.record_verdict("PROMOTE", why="all good")
        release.advance("cleanup")
        artifact = release.facts.artifact
        release.finish(PROMOTED, digest=artifact.digest if artifact else "")
        site.lock.release()

    def order(self, colour: Colour, order: str) -> None:
        """Let a slot answer well (''), with errors ("error", "pages" for pages alone), as "sick", or late ("hang")."""
        (self.folder / "orders" / colour).write_text(order)

    def stop_slot(self, colour: Colour) -> None:
        self.open().platform.stop(colour, deadline=Deadline("the slot stops", 10.0))

    def tear_down(self) -> None:
        site = self.open()
        deadline = Deadline("all ends", 20.0)
        with contextlib.suppress(Exception):
            site.proxy.stop(deadline=deadline)
        for colour in Colour:
            site.platform.stop(colour, deadline=deadline)

    def cakravia(self, *arguments: str, wait: float = 60.0) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._command(*arguments), env=_environment(), capture_output=True, text=True, check=False, timeout=wait
        )

    @contextlib.contextmanager
    def monitored(self) -> Iterator[subprocess.Popen[bytes]]:
        """A monitor in a process of its own, as an operator runs it."""
        process = self.start_monitor()
        try:
            self.await_state(lambda state: state.get("pid") == process.pid and "users" in state["facts"])
            yield process
        finally:
            process.terminate()
            process.wait(20)

    def start_monitor(self, **environment: str) -> subprocess.Popen[bytes]:
        with (self.folder / "monitor-output.txt").open("ab") as output:
            return subprocess.Popen(
                self._command("monitor", "run", "--log", str(self.log)),
                env=_environment() | environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def log(self) -> Path:
        return self.folder / "monitor.log"

    def state(self) -> dict[str, Any]:
        """What the monitor wrote last about what it sees."""
        try:
            state: dict[str, Any] = json.loads((self.folder / ".cakravia/monitor/monitor.json").read_text())
        except (OSError, ValueError):
            return {"facts": {}}
        return state

    def await_state(self, holds: Callable[[dict[str, Any]], object], *, seconds: float = 30.0) -> dict[str, Any]:
        """Return the first state that holds. Fails with the log when none does in time."""
        ends = time.monotonic() + seconds
        while not holds(state := self.state()):
            if time.monotonic() > ends:
                log = self.log.read_text() if self.log.exists() else ""
                output = (self.folder / "monitor-output.txt").read_text()
                raise AssertionError(f"not within {seconds} s: {json.dumps(state)[:3000]}\n{log}\n{output}")
            time.sleep(0.05)
        return state

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "cakravia_verify.cli", "--site", str(self.settings_file), *arguments]


def _environment() -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("CAKRAVIA_", "PYTEST_", "NOTIFY_"))
    }
    return kept | {"PYTHONPATH": str(ROOT)}


def is_open(name: str) -> Callable[[dict[str, Any]], bool]:
    """Whether a state shows that alert as open."""
    return lambda state: any(alert["name"] == name and alert["is_open"] for alert in state.get("alerts", ()))
