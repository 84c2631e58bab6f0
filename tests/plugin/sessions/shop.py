"""A throw-away site in a folder, and release sessions run on it as an operator runs them: as processes of their own."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from cakravia_verify.settings.loading import load_settings
from cakravia_verify.site.assembly import open_site
from cakravia_verify.site.site import SiteState
from cakravia_verify.system.clock import Deadline
from tests.ports import free_ports

REPOSITORY = Path(__file__).resolve().parents[3]
SUITES = REPOSITORY / "suites"
PLUGINS = Path(__file__).resolve().parent / "sabotage"
# Longer than any session that still does something, also on a machine that does much else.
LONGEST_SESSION = 240.0
SETTINGS = """\
[site]
name = "shop"
[slots]
blue = {blue}
green = {green}
[proxy]
listen = "127.0.0.1:{users}"
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


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit status, and all it wrote."""

    status: int
    output: str
    seconds: float
    at: float

    @property
    def has_traceback(self) -> bool:
        return "Traceback (most recent call last)" in self.output or "INTERNALERROR" in self.output


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


class Shop:
    """One site: its folder, its ports, and what can be asked of it."""

    _numbers = itertools.count(1)

    def __init__(self, folder: Path, *, profile: str = "custom") -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.users, self.blue, self.green = free_ports(3)
        self.settings = folder / "cakravia.toml"
        self.settings.write_text(
            SETTINGS.format(
                users=self.users,
                blue=self.blue,
                green=self.green,
                profile=profile,
                source=REPOSITORY / "examples" / "reference_app",
            )
            + (QUICK_MIX if profile == "custom" else "")
        )

    @property
    def state(self) -> Path:
        return self.folder / ".cakravia"

    @property
    def reports(self) -> Path:
        return self.folder / "reports"

    # Commands.

    def pytest(
        self, *arguments: str, environment: dict[str, str] | None = None, wait: float = LONGEST_SESSION
    ) -> Ended:
        return self.finish(self.begin_pytest(*arguments, environment=environment), wait=wait)

    def begin_pytest(self, *arguments: str, environment: dict[str, str] | None = None) -> Running:
        command = [sys.executable, "-m", "pytest", *arguments, "-o", f"cache_dir={self.folder / 'cache'}"]
        return self._begin(command, environment=environment or {})

    def cakravia(self, *arguments: str, environment: dict[str, str] | None = None) -> Ended:
        command = [sys.executable, "-m", "cakravia_verify.cli", "--site", str(self.settings), *arguments]
        return self.finish(self._begin(command, environment=environment or {}))

    def _begin(self, command: list[str], *, environment: dict[str, str]) -> Running:
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("CAKRAVIA_", "PYTEST_", "COV_", "MISBEHAVE")) and name != "GITHUB_STEP_SUMMARY"
        }
        # Another checkout than the installed one is tested with its own code.
        paths = os.pathsep.join(filter(None, [environment.get("PYTHONPATH", ""), str(PLUGINS), str(REPOSITORY)]))
        output = self.folder / f"output-{next(self._numbers)}.txt"
        with output.open("wb") as written:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=inherited | environment | {"PYTHONPATH": paths, "COLUMNS": "200"},
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=subprocess.STDOUT,
            )
        return Running(process, output, time.monotonic())

    def finish(self, running: Running, *, wait: float = LONGEST_SESSION) -> Ended:
        try:
            status = running.process.wait(wait)
        except subprocess.TimeoutExpired:
            running.process.kill()
            running.process.wait(10)
            raise AssertionError(f"the session hung:\n{running.text[-4000:]}") from None
        now = time.monotonic()
        return Ended(status, running.text, now - running.began, now)

    def deploy(self, version: str, *arguments: str, **named: Any) -> Ended:
        return self.pytest(str(SUITES / "deploy"), *self.site, "--version", version, *arguments, **named)

    def roll_back(self, *arguments: str, **named: Any) -> Ended:
        return self.pytest(str(SUITES / "rollback"), *self.site, *arguments, **named)

    def release(self, kind: str, version: str, *arguments: str, **named: Any) -> Ended:
        return self.pytest(str(SUITES / kind), *self.site, "--version", version, *arguments, **named)

    def run_script(self, name: str, *arguments: str) -> Ended:
        """A script of somebody's own, told the site's settings."""
        return self.finish(
            self._begin([sys.executable, str(PLUGINS / name), str(self.settings), *arguments], environment={})
        )

    def retain(self, version: str) -> None:
        """The version is kept on this machine as one that was released here before."""
        platform = open_site(load_settings(self.settings, environment={})).platform
        platform.build(version, deadline=Deadline("the version is kept", 10.0))

    @property
    def site(self) -> tuple[str, str]:
        return ("--site", str(self.settings))

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

    def history(self) -> list[dict[str, Any]]:
        log = self.state / "deployment-history.log"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def latest(self) -> Path:
        return (self.reports / "latest").resolve()

    def verdict(self) -> dict[str, Any]:
        """The newest verdict; {} where none was ever written."""
        path = self.reports / "latest" / "verdict.json"
        told: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return told

    def verdict_of(self, version: str) -> dict[str, Any]:
        """The verdict on a version, {} where none was written."""
        told = self.verdict()
        return told if told.get("version") == version else {}

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

    def processes(self) -> list[psutil.Process]:
        """Every process of this site: they carry its folder in their command line, environment or working directory."""
        mine = psutil.Process().pid
        return [each for each in psutil.process_iter() if each.pid != mine and _belongs(each, str(self.folder))]

    def traffic(self) -> list[psutil.Process]:
        return [each for each in self.processes() if "locust" in " ".join(_command(each))]

    def nginx(self) -> list[psutil.Process]:
        """The masters of nginx that run; one where all is well."""
        return [each for each in self.processes() if "nginx: master" in " ".join(_command(each))]

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

    # Ending.

    def tear_down(self) -> list[str]:
        """What was left after `cakravia down`, killed now; empty where `down` was enough."""
        self.cakravia("down")
        deadline = time.monotonic() + 3
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.05)
        told = [f"{each.pid}: {' '.join(_command(each))[:120]}" for each in left]
        for each in left:
            with contextlib.suppress(psutil.Error):
                each.send_signal(signal.SIGKILL)
        shutil.rmtree(self.folder / "reports", ignore_errors=True)
        return told


@dataclass(frozen=True)
class Running:
    """A command that was begun."""

    process: subprocess.Popen[bytes]
    output: Path
    began: float

    @property
    def text(self) -> str:
        return self.output.read_text(errors="replace")


def wait_for(question: Any, *, seconds: float = 30.0) -> Any:
    """The first true answer; AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s"
        time.sleep(0.02)
    return answer


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _belongs(process: psutil.Process, folder: str) -> bool:
    with contextlib.suppress(psutil.Error):
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        if any(folder in part for part in process.cmdline()):
            return True
        if process.cwd().startswith(folder):
            return True
        return any(folder in value for value in process.environ().values())
    return False
