"""A real process platform over a tiny application that starts in a moment."""

from __future__ import annotations

import contextlib
import os
import signal
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from cakravia_verify.platforms.process.slots import ProcessPlatform
from cakravia_verify.settings.models import AppSettings, Settings, SlotSettings
from cakravia_verify.slots import Artifact, Colour, Slot
from cakravia_verify.system.clock import Deadline, poll
from tests.ports import free_ports

APPLICATION = """
import ctypes, json, os, platform, signal, subprocess, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEPT = []

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/grow":
            for _ in range(400):
                KEPT.append(b"x" * (1 << 20))
            said = "grew"
        elif self.path == "/grow-in-a-child":
            child = subprocess.Popen([sys.executable, "-c", "import time; x = b'x' * (400 << 20); time.sleep(60)"])
            said = str(child.pid)
        elif self.path in ("/child", "/daemon"):
            child = subprocess.Popen(["sleep", "60"], start_new_session=self.path == "/daemon")
            said = str(child.pid)
        elif self.path == "/slow":
            time.sleep(2)
            said = "slow"
        else:
            said = json.dumps({"pid": os.getpid(), "cwd": os.getcwd(), "argv": sys.argv, **os.environ})
        body = said.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass

if os.environ.get("IGNORES_SIGTERM"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)

def end(*_):
    print("told to end", flush=True)
    threading.Timer(0.3, lambda: (print("ended", flush=True), os._exit(0))).start()

if os.environ.get("TELLS_ITS_END"):
    signal.signal(signal.SIGTERM, end)
for _ in range(int(os.environ.get("IDLE_THREADS", "0"))):
    threading.Thread(target=time.sleep, args=(1e6,), daemon=True).start()
if os.environ.get("SHARES"):
    KEPT.append(b"x" * (int(os.environ["SHARES"]) << 20))
    for _ in range(4):
        if os.fork() == 0:
            time.sleep(1e6)
time.sleep(float(os.environ.get("STARTS_AFTER", "0")))
ThreadingHTTPServer.allow_reuse_address = True
server = ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Handler)
print("listening as", os.environ["APP_VERSION"], flush=True)
if os.environ.get("FIRST_THREAD_ENDS"):
    threading.Thread(target=server.serve_forever).start()
    ctypes.CDLL(None).syscall(93 if platform.machine() == "aarch64" else 60, 0)  # exit of this thread alone
server.serve_forever()
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    source = tmp_path / "source"
    source.mkdir()
    (source / "tiny_app.py").write_text(APPLICATION)
    blue, green = free_ports(2)
    return Settings(
        root=tmp_path,
        slots=SlotSettings(blue=blue, green=green, memory_limit="256M"),
        app=AppSettings(command=("{python}", "tiny_app.py", "{version}"), source="source", grace=5.0),
    )


@pytest.fixture
def platform(settings: Settings) -> Iterator[ProcessPlatform]:
    yield ProcessPlatform(settings)
    state = str(settings.state)
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("REQUEST_LOG", "").startswith(state):
                os.kill(process.pid, signal.SIGKILL)


def deadline(seconds: float = 10.0) -> Deadline:
    return Deadline("the test's own patience", seconds)


@pytest.fixture
def artifact(platform: ProcessPlatform) -> Artifact:
    return platform.build("v1", deadline=deadline())


@pytest.fixture
def ask() -> Callable[[Slot, str], str]:
    """What a slot answers, once it answers at all."""

    def ask(slot: Slot, path: str = "/") -> str:
        def question() -> str | None:
            with contextlib.suppress(OSError), urllib.request.urlopen(slot.address.url + path, timeout=5) as answer:  # noqa: S310
                return str(answer.read().decode())
            return None

        return poll(question, deadline=deadline(), every=0.02)

    return ask


@pytest.fixture
def started(platform: ProcessPlatform, artifact: Artifact, ask: Callable[[Slot, str], str]) -> Slot:
    """v1 in blue, answering."""
    slot = platform.start(Colour.BLUE, artifact, release="r1", deadline=deadline())
    ask(slot, "/")
    return slot
