"""Slots of the reference application as real processes on free loopback ports."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cakravia_verify.system.clock import Deadline, poll

EXAMPLES = Path(__file__).parents[2] / "examples"


class SlotProcess:
    """One running slot; its output goes to a file."""

    def __init__(self, folder: Path, **environment: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.data = folder / "data"
        self.request_log = folder / "requests.log"
        self._output = folder / f"output-{len(list(folder.iterdir()))}.log"
        given = {
            "PATH": os.environ["PATH"],
            "PYTHONDONTWRITEBYTECODE": "1",
            "PORT": "0",
            "DEPLOYMENT_SLOT": "blue",
            "APP_VERSION": "v1.2.0",
            "DEPLOYMENT_TIMESTAMP": "2026-01-02T03:04:05Z",
            "DEPLOYMENT_RELEASE": "r-1",
            "DRAIN_IDLE_SECONDS": "0.05",
            "DATA_DIR": str(self.data),
            "REQUEST_LOG": str(self.request_log),
            **environment,
        }
        with self._output.open("wb") as output:
            command = [sys.executable, "-m", "reference_app"]
            self.process = subprocess.Popen(command, cwd=EXAMPLES, env=given, stdout=output, stderr=output)
        self.client = httpx.Client(verify=False, timeout=10)  # noqa: S501 - plain HTTP, saves reading certificates

    @property
    def output(self) -> str:
        return self._output.read_text()

    def listen(self) -> SlotProcess:
        """The slot accepts connections."""
        url = poll(self._url, deadline=Deadline("the slot listens", 10), every=0.005, observed=lambda: self.output)
        self.client.base_url = httpx.URL(url)
        return self

    def ready(self) -> SlotProcess:
        """The slot says that it is ready."""
        self.listen()
        poll(self._is_ready, deadline=Deadline("the slot is ready", 10), every=0.01, observed=lambda: self.output)
        return self

    @property
    def address(self) -> tuple[str, int]:
        return self.client.base_url.host, self.client.base_url.port or 0

    def in_flight(self) -> Any:
        return self.application()["in_flight"]

    def application(self) -> Any:
        return self.client.get("/api/deployment/status").json()["application"]

    def wait_for(self, what: str, question: Callable[[], object]) -> None:
        poll(lambda: bool(question()), deadline=Deadline(what, 10), every=0.01, observed=lambda: self.output)

    def send(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def exit_status(self) -> int:
        return self.process.wait(timeout=10)

    def close(self) -> None:
        self.client.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(timeout=10)

    def _url(self) -> str | None:
        match = re.search(r"serves (http://\S+)", self.output)
        if match is None and self.process.poll() is not None:
            pytest.fail(f"the slot ended with {self.process.returncode}:\n{self.output}")
        return match[1] if match else None

    def _is_ready(self) -> bool:
        return self.client.get("/api/health/ready").status_code == 200


@pytest.fixture(scope="session")
def slot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlotProcess]:
    """A well-behaved slot that all tests share which leave it as they found it."""
    process = SlotProcess(tmp_path_factory.mktemp("slot"))
    try:
        yield process.ready()
    finally:
        process.close()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., SlotProcess]]:
    """Starts slots of one test that share a data folder; none outlives the test."""
    started: list[SlotProcess] = []

    def start(**environment: str) -> SlotProcess:
        started.append(SlotProcess(tmp_path / "site", **environment))
        return started[-1]

    yield start
    for process in started:
        process.close()
