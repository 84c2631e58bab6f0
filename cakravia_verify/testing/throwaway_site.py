"""A site in a folder and on ports of its own, operated by commands in child processes, and gone afterwards.

The tests, the benchmarks and the nightly regression run releases on such sites. The commands are those that an operator
types: a site that works here works for an operator.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any, ClassVar

import psutil

from cakravia_verify.kinds import SUITES as SUITES
from cakravia_verify.testing.ports import free_ports

REPOSITORY = Path(__file__).resolve().parents[2]
# Seconds; longer than any session that still makes progress, also on a busy machine.
LONGEST_SESSION = 240.0
END_SECONDS = 3.0
# Variables of the calling session, which would change a session that is started here.
_CALLERS_OWN = ("CAKRAVIA_", "PYTEST_", "COV_", "MISBEHAVE", "GITHUB_STEP_SUMMARY", "GITHUB_ACTIONS")


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit status and all of its output. `at` is on the monotonic clock, in seconds."""

    status: int
    output: str
    seconds: float
    at: float

    @property
    def has_traceback(self) -> bool:
        return "Traceback (most recent call last)" in self.output or "INTERNALERROR" in self.output


@dataclass(frozen=True)
class Running:
    """A command that was started. `output` is the file that it writes to; `began` is on the monotonic clock."""

    process: subprocess.Popen[bytes]
    output: Path
    began: float

    @property
    def text(self) -> str:
        return self.output.read_text(errors="replace")

    def wait(self, seconds: float = LONGEST_SESSION) -> Ended:
        """Return how the command ended. Raises TimeoutError, the command killed, if it still runs after `seconds`."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
            raise TimeoutError(f"the command hung:\n{self.text[-4000:]}") from None
        now = time.monotonic()
        return Ended(status, self.text, now - self.began, now)


class ThrowawaySite:
    """One site: its folder, its ports, its commands, and what they left.

    `settings` is the text of its cakravia.toml, in which $users, $blue and $green stand for the site's ports.
    """

    _numbers: ClassVar[itertools.count[int]] = itertools.count(1)
    python_path: ClassVar[tuple[Path, ...]] = (REPOSITORY,)

    def __init__(self, folder: Path, settings: str) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.users, self.blue, self.green = free_ports(3)
        self.settings = folder / "cakravia.toml"
        ports = {"users": self.users, "blue": self.blue, "green": self.green}
        self.settings.write_text(Template(settings).safe_substitute(ports), encoding="utf-8")

    @property
    def state(self) -> Path:
        return self.folder / ".cakravia"

    @property
    def reports(self) -> Path:
        return self.folder / "reports"

    @property
    def site(self) -> tuple[str, str]:
        return ("--site", str(self.settings))

    # Commands.

    def begin(self, command: list[str], *, environment: Mapping[str, str]) -> Running:
        """Start a command in the site's folder, with the environment of this process but for what is this session's."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_CALLERS_OWN)}
        paths = os.pathsep.join(filter(None, [environment.get("PYTHONPATH", ""), *map(str, self.python_path)]))
        output = self.folder / f"output-{next(self._numbers)}.txt"
        with output.open("wb") as written:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=inherited | dict(environment) | {"PYTHONPATH": paths, "COLUMNS": "200"},
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=subprocess.STDOUT,
            )
        return Running(process, output, time.monotonic())

    def begin_pytest(self, *arguments: str, environment: Mapping[str, str] | None = None) -> Running:
        command = [sys.executable, "-m", "pytest", *arguments, "-o", f"cache_dir={self.folder / 'cache'}"]
        return self.begin(command, environment=environment or {})

    def pytest(
        self, *arguments: str, environment: Mapping[str, str] | None = None, wait: float = LONGEST_SESSION
    ) -> Ended:
        return self.begin_pytest(*arguments, environment=environment).wait(wait)

    def begin_cakravia(self, *arguments: str, environment: Mapping[str, str] | None = None) -> Running:
        command = [sys.executable, "-m", "cakravia_verify.cli", *self.site, *arguments]
        return self.begin(command, environment=environment or {})

    def cakravia(self, *arguments: str, environment: Mapping[str, str] | None = None) -> Ended:
        return self.begin_cakravia(*arguments, environment=environment).wait()

    def release(self, kind: str, version: str, *arguments: str, **options: Any) -> Ended:
        return self.pytest(str(SUITES / kind), *self.site, "--version", version, *arguments, **options)

    def deploy(self, version: str, *arguments: str, **options: Any) -> Ended:
        return self.release("deploy", version, *arguments, **options)

    def roll_back(self, *arguments: str, **options: Any) -> Ended:
        return self.pytest(str(SUITES / "rollback"), *self.site, *arguments, **options)

    # What they left.

    def history(self) -> list[dict[str, Any]]:
        """Return the entries of the site's history, oldest first."""
        log = self.state / "deployment-history.log"
        return [json.loads(line) for line in log.read_text().splitlines() if line.strip()] if log.exists() else []

    def latest(self) -> Path:
        """Return the folder of the newest report."""
        return (self.reports / "latest").resolve()

    def verdict(self) -> dict[str, Any]:
        """Return the newest verdict, {} if there is none."""
        path = self.latest() / "verdict.json"
        verdict: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return verdict

    def verdict_of(self, version: str) -> dict[str, Any]:
        """Return the newest verdict if it is on this version, else {}."""
        verdict = self.verdict()
        return verdict if verdict.get("version") == version else {}

    def ledger(self) -> list[Path]:
        """Return the Parquet files of the newest ledger."""
        return sorted((self.latest() / "ledger").glob("*.parquet"))

    def processes(self) -> list[psutil.Process]:
        """Return the site's processes: its folder is in their command line, environment or working directory."""
        own = psutil.Process().pid
        return [each for each in psutil.process_iter() if each.pid != own and _belongs(each, str(self.folder))]

    # The end.

    def tear_down(self) -> list[str]:
        """Stop the site and kill what `cakravia down` left. Returns one line per killed process."""
        self.cakravia("down")
        deadline = time.monotonic() + END_SECONDS
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.05)
        lines = [f"{each.pid}: {' '.join(command_of(each))[:120]}" for each in left]
        for each in left:
            with contextlib.suppress(psutil.Error):
                each.send_signal(signal.SIGKILL)
        shutil.rmtree(self.reports, ignore_errors=True)
        return lines

    def remove(self) -> None:
        """Stop the site and remove its folder. Safe to call again."""
        if self.folder.exists():
            self.tear_down()
            shutil.rmtree(self.folder, ignore_errors=True)


def command_of(process: psutil.Process) -> list[str]:
    """Return the command line of a process, empty if it has ended."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _belongs(process: psutil.Process, folder: str) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.status() != psutil.STATUS_ZOMBIE and any(folder in text for text in _texts_of(process))
    return False


def _texts_of(process: psutil.Process) -> Iterator[str]:
    yield from process.cmdline()
    yield process.cwd()
    yield from process.environ().values()
