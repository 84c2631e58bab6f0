"""The child process that sends the traffic: start it, watch it, stop it.

Neither Locust nor gevent is imported here: importing Locust patches the sockets and threads of the whole process.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import site
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cakravia_verify.errors import TrafficError
from cakravia_verify.system.clock import Deadline
from cakravia_verify.traffic.records.merge import merge_records
from cakravia_verify.traffic.records.rows import (
    LOCUST_REPORT_FILE,
    LOG_FILE,
    PLAN_FILE,
    REQUESTS_FILE,
    SUMMARY_FILE,
    part_files,
)

if TYPE_CHECKING:
    from cakravia_verify.traffic.plan.plan import TrafficPlan

PLAN_VARIABLE = "CAKRAVIA_TRAFFIC_PLAN"
# Where the child finds the real home directory: its own HOME is the folder of its records.
HOME_VARIABLE = "REAL_HOME"
STOP_WORD = "stop"
# What Python, its libraries and the system's own need: the rest of this process's environment may hold secrets.
_VARIABLES = (
    *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TERM", "TMPDIR", "VIRTUAL_ENV"),
    *("LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR"),
)
_LOCUSTFILE = Path(__file__).with_name("generator") / "locustfile.py"
_ROOT = Path(__file__).resolve().parent.parent.parent
_TAIL_BYTES = 4000
_AFTER_SIGTERM = 3.0


@dataclass(frozen=True)
class TrafficSummary:
    """The content of traffic.json at the end; `ended` is asked, orphaned or error."""

    planned: int
    started: int
    finished: int
    never_started: int
    unfinished: int
    rate_planned: float
    rate_achieved: float
    idle_closes: int
    ended: str
    raw: dict[str, Any]


class TrafficProcess:
    """One run of a plan in a child process. It has its own session, so the terminal's Ctrl-C does not reach it.

    The child ends by itself when this process dies: the end of its standard input tells it.
    """

    def __init__(self, plan: TrafficPlan) -> None:
        self._plan = plan
        self._folder = Path(plan.records)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the child. Raises TrafficError if it is started already or cannot be started."""
        if self._process is not None:
            raise TrafficError("the traffic was started twice", remedy="use a TrafficProcess of its own for each run")
        command = self._command()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for name in (REQUESTS_FILE, SUMMARY_FILE):
                for file in {name, *part_files(name, self._plan.processes)}:
                    (self._folder / file).unlink(missing_ok=True)
            (self._folder / PLAN_FILE).write_text(self._plan.to_json() + "\n")
            with (self._folder / LOG_FILE).open("wb") as log:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=self._folder,
                    env=self._environment(),
                    start_new_session=True,
                )
        except OSError as error:
            raise TrafficError(
                f"the traffic cannot be started in {self._folder}: {error.strerror}",
                remedy="give this user the right to write there",
            ) from error

    def _command(self) -> list[str]:
        plan = self._plan
        files = [str(_LOCUSTFILE), *([str(Path(plan.locustfile).resolve())] if plan.locustfile else [])]
        users = plan.users + (plan.locustfile_users if plan.locustfile else 0)
        command = [sys.executable, "-m", "locust", "-f", ",".join(files), "--host", plan.url]
        if plan.web_ui:
            host, _, port = plan.web_ui.rpartition(":")
            command += ["--autostart", "--web-host", host.strip("[]"), "--web-port", port]
        else:
            command.append("--headless")
        if plan.processes > 1:
            # Workers find their master on a free port; Locust's default port may belong to another run.
            port = str(free_port())
            command += ["--processes", str(plan.processes), "--master-host", "127.0.0.1", "--master-port", port]
            command += ["--master-bind-host", "127.0.0.1", "--master-bind-port", port]
        command += ["--users", str(users), "--spawn-rate", str(users), "--only-summary", "--loglevel", "WARNING"]
        command += ["--exit-code-on-error", "0"]
        if plan.html_report:
            command += ["--html", str((self._folder / LOCUST_REPORT_FILE).resolve())]
        return command

    def _environment(self) -> dict[str, str]:
        wanted = (*_VARIABLES, *self._plan.environment)
        environment = {
            name: value for name, value in os.environ.items() if name in wanted or name.startswith(("LC_", "PYTHON"))
        }
        paths = [str(_ROOT), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
        environment[PLAN_VARIABLE] = str((self._folder / PLAN_FILE).resolve())
        # Locust always reads ~/.locust.conf, locust.conf and pyproject.toml. A run-time in one of them would end the
        # traffic of a release. So its home and its working directory are the folder of this run.
        environment[HOME_VARIABLE] = environment.get("HOME", "")
        environment.setdefault("PYTHONUSERBASE", site.getuserbase())
        environment["HOME"] = str(self._folder.resolve())
        return environment

    @property
    def pid(self) -> int:
        return self._process.pid if self._process is not None else 0

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def ensure_alive(self) -> None:
        """Raise TrafficError with the end of the child's log if the child is gone."""
        if self._process is None:
            raise TrafficError("the traffic was not started", remedy="call start() first")
        status = self._process.poll()
        if status is not None:
            raise TrafficError(
                f"the traffic ended by itself, {_exit_words(status)}:\n{self.log_tail()}",
                remedy=f"see {self._folder / LOG_FILE}",
            )

    def stop(self, *, deadline: Deadline) -> TrafficSummary:
        """Let the child finish the requests in flight and end; end it by force when the deadline is over.

        Raises TrafficError when it left no summary, or had failed: records that may be incomplete prove nothing.
        """
        process = self._process
        if process is None:
            raise TrafficError("the traffic was not started", remedy="call start() first")
        self._ask_to_stop(process)
        status = _wait(process, deadline.remaining)
        for number in (signal.SIGTERM, signal.SIGKILL):
            if status is None:
                self._signal(process, number)
                status = _wait(process, _AFTER_SIGTERM)
        self._merge_records()
        summary = self._read_summary()
        if summary is None or status != 0 or summary.ended != "asked":
            words = _exit_words(status) if status is not None else "and does not end"
            raise TrafficError(
                f"the traffic did not end properly, {words}:\n{self.log_tail()}",
                remedy=f"its records in {self._folder} may be incomplete; run the traffic again",
            )
        return summary

    def kill(self) -> None:
        """End the child and all its processes at once."""
        if self._process is not None:
            self._signal(self._process, signal.SIGKILL)
            _wait(self._process, _AFTER_SIGTERM)
            if self._process.stdin is not None:
                with contextlib.suppress(OSError):
                    self._process.stdin.close()
            if not (self._folder / REQUESTS_FILE).exists():
                with contextlib.suppress(TrafficError):
                    self._merge_records()

    def _merge_records(self) -> None:
        if self._plan.processes > 1:
            try:
                merge_records(self._folder, parts=self._plan.processes)
            except OSError as error:
                raise TrafficError(
                    f"{self._folder}: {error.strerror}", remedy="make room on its disk and run the traffic again"
                ) from error

    def _ask_to_stop(self, process: subprocess.Popen[bytes]) -> None:
        if process.stdin is not None and not process.stdin.closed:
            with contextlib.suppress(OSError):
                process.stdin.write(f"{STOP_WORD}\n".encode())
                process.stdin.flush()
            with contextlib.suppress(OSError):
                process.stdin.close()

    def _signal(self, process: subprocess.Popen[bytes], number: signal.Signals) -> None:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)

    def _read_summary(self) -> TrafficSummary | None:
        try:
            raw = json.loads((self._folder / SUMMARY_FILE).read_text())
            return TrafficSummary(
                **{key: raw[key] for key in TrafficSummary.__dataclass_fields__ if key != "raw"},
                raw=raw,
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def log_tail(self) -> str:
        """Return the last lines of the child's log."""
        try:
            with (self._folder / LOG_FILE).open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - _TAIL_BYTES))
                return log.read().decode("utf-8", "replace").strip()
        except OSError:
            return ""


def free_port() -> int:
    """Return a port of this machine's loopback on which no program listens at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _wait(process: subprocess.Popen[bytes], seconds: float) -> int | None:
    try:
        return process.wait(max(0.01, seconds))
    except subprocess.TimeoutExpired:
        return None


def _exit_words(status: int) -> str:
    return f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
