"""A throw-away site in a folder, and release sessions run on it as an operator runs them: as processes of their own."""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from cakravia_verify.kinds import SUITES
from cakravia_verify.settings.loading import load_settings
from cakravia_verify.site.assembly import open_site
from cakravia_verify.site.site import SiteState
from cakravia_verify.system.clock import Deadline
from cakravia_verify.testing.throwaway_site import REPOSITORY, Ended, Running, ThrowawaySite, command_of

__all__ = ["PLUGINS", "QUICK_MIX", "REPOSITORY", "SUITES", "Ended", "Running", "Shop", "Witness", "wait_for"]

PLUGINS = Path(__file__).resolve().parent / "sabotage"
SETTINGS = """\
[site]
name = "shop"
[slots]
blue = $blue
green = $green
[proxy]
listen = "127.0.0.1:$users"
workers = 1
[app]
command = ["{{python}}", "-m", "reference_app"]
source = "{source}"
directory = ".."
grace = 3.0
[health]
consecutive = 2
interval = 0.1
timeout = 0.5
deadline = 6.0
[release]
bake = 1.0
drain = 3.0
drain_minimum = 0.1
confirmations = 5
confirm_timeout = 2.0
smoke = [{{ path = "/", contains = "Cakravia" }}]
[budget]
min_requests = 100
min_each = 1
min_rate_held = 0.7
[traffic]
users = 20
rate = 100.0
round_trip = 0.0
timeout = 2.0
profile = "{profile}"
"""
# Every kind of request but those that take a second on purpose: waiting for them is most of a short session.
QUICK_MIX = """
[[traffic.mix]]
name = "page"
weight = 5
[[traffic.mix]]
name = "order"
method = "POST"
path = "/api/orders"
weight = 3
headers = { "Idempotency-Key" = "{id}" }
body = { kind = "order" }
[[traffic.mix]]
name = "echo"
method = "POST"
path = "/api/echo"
weight = 1
body = { kind = "random", size = 2048 }
verify = "echo"
[[traffic.mix]]
name = "download"
path = "/api/download?bytes=16384"
weight = 1
verify = "X-Content-SHA256"
"""


@dataclass
class Witness:
    """Asks for the front page all the time, independently of the release and its traffic, and keeps every failure."""

    port: int
    answers: list[tuple[float, str]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Witness:
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def _watch(self) -> None:
        while not self._stop.wait(0.03):
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            try:
                connection.request("GET", "/")
                answer = connection.getresponse()
                answer.read()
                self.answers.append((time.monotonic(), answer.headers.get("X-Served-Slot", "")))
                if answer.status != 200:
                    self.failures.append(f"status {answer.status}")
            except OSError as error:
                self.failures.append(repr(error))
            finally:
                connection.close()


class Shop(ThrowawaySite):
    """A site of the reference application, and what tests ask of it."""

    python_path = (PLUGINS, REPOSITORY)

    def __init__(self, folder: Path, *, profile: str = "custom") -> None:
        source = REPOSITORY / "examples" / "reference_app"
        settings = SETTINGS.format(profile=profile, source=source)
        super().__init__(folder, settings + (QUICK_MIX if profile == "custom" else ""))

    def run_script(self, name: str, *arguments: str) -> Ended:
        """Run a script of the tests, given the path of the site's settings."""
        command = [sys.executable, str(PLUGINS / name), str(self.settings), *arguments]
        return self.begin(command, environment={}).wait()

    def retain(self, version: str) -> None:
        """The version is kept on this machine as one that was released here before."""
        platform = open_site(load_settings(self.settings, environment={})).platform
        platform.build(version, deadline=Deadline("the version is kept", 10.0))

    # Looking.

    def observe(self) -> SiteState:
        """What `cakravia status` shows, without starting a process to ask."""
        return open_site(load_settings(self.settings, environment={})).observe()

    def status(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.cakravia("status", "--json").output)
        return told

    def answer(self, path: str = "/api/deployment/status") -> tuple[int, str, str]:
        """Status, slot and version of one answer through the proxy."""
        connection = http.client.HTTPConnection("127.0.0.1", self.users, timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            headers = answer.headers
            return answer.status, headers.get("X-Served-Slot", ""), headers.get("X-Deployment-Version", "")
        finally:
            connection.close()

    def serving(self) -> str:
        """The version that answers users now, '' where none does."""
        try:
            status, _, version = self.answer()
        except OSError:
            return ""
        return version if status == 200 else ""

    def picture(self) -> dict[str, Any]:
        """What must not change where nothing is touched: who runs, who serves, what is written."""
        files = {
            str(path.relative_to(self.folder)): path.read_bytes()
            for top in (self.state / "versions", self.state / "nginx" / "flags", self.reports)
            for path in sorted(top.rglob("*"))
            if path.is_file() and not path.is_symlink()
        }
        return {
            "files": files,
            "history": self.history(),
            "processes": sorted(process.pid for process in self.processes()),
            "latest": str((self.reports / "latest").readlink()) if (self.reports / "latest").is_symlink() else "",
        }

    def traffic(self) -> list[psutil.Process]:
        return [each for each in self.processes() if "locust" in " ".join(command_of(each))]

    def nginx(self) -> list[psutil.Process]:
        """The masters of nginx that run; one where all is well."""
        return [each for each in self.processes() if "nginx: master" in " ".join(command_of(each))]

    def traffic_left(self, *, seconds: float = 5.0) -> int:
        """Traffic that a release left behind, once it had the time to notice that nobody owns it any more."""
        deadline = time.monotonic() + seconds
        while self.traffic() and time.monotonic() < deadline:
            time.sleep(0.05)
        return len(self.traffic())

    def mend_history(self) -> None:
        """The history is where it was, had somebody put something else in its place."""
        log = self.state / "deployment-history.log"
        if log.is_dir():
            log.rmdir()
            log.with_suffix(".kept").rename(log)


def wait_for(question: Any, *, seconds: float = 30.0) -> Any:
    """The first true answer; AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s"
        time.sleep(0.02)
    return answer
