"""A real nginx in front of two fake slots. A rule is proven by two configurations: a broken one, and a kept one."""

from __future__ import annotations

import contextlib
import http.client
import os
import resource
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from cakravia_verify.platforms.process.nginx_program import NginxProgram
from cakravia_verify.proxy.lint.model import LintFacts
from tests.ports import free_ports
from tests.proxy.lint.fake_slots import Exchange, FakeSlot
from tests.unreachable import unreachable_address

WHOLE = """
daemon off;
{user}
worker_processes 1;
pid "FOLDER/nginx.pid";
error_log "FOLDER/error.log" error;
{main}
events {{ {events} }}
http {{
    access_log off;
    client_body_temp_path "FOLDER/body";
    proxy_temp_path "{temp}";
    fastcgi_temp_path "FOLDER/fastcgi";
    uwsgi_temp_path "FOLDER/uwsgi";
    scgi_temp_path "FOLDER/scgi";
    {http}
    server {{
        listen LISTEN{listen};
        {server}
    }}
}}
"""
POOLS = "upstream blue { server BLUE; } upstream green { server GREEN; }"
PAIR = "upstream app { server BLUE max_fails=0; server GREEN max_fails=0; }"
SWITCH = 'set $slot blue; if (-f "FOLDER/green.active") { set $slot green; }'


@dataclass(frozen=True)
class Answer:
    """What a client got. `status` is 0, and `error` says why, if the answer is not complete."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    error: str = ""

    @property
    def text(self) -> str:
        return self.body.decode("latin-1")

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]


@dataclass
class Bench:
    """nginx and its slots while a proof runs."""

    blue: FakeSlot
    green: FakeSlot
    folder: Path
    port: int
    facts: LintFacts
    process: subprocess.Popen[bytes]
    moved: threading.Event

    def ask(
        self,
        path: str = "/",
        *,
        method: str = "GET",
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        patience: float = 5.0,
    ) -> Answer:
        """Send one request on a connection of its own. Nothing is sent again."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=patience)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            got = connection.getresponse()
            return Answer(got.status, got.read(), tuple(got.getheaders()))
        except (OSError, http.client.HTTPException) as error:
            return Answer(0, error=type(error).__name__)
        finally:
            connection.close()

    def connect(self, request: str = "", *, patience: float = 5.0) -> socket.socket:
        """Open a connection and send the text."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=patience)
        connection.sendall(request.encode())
        return connection

    def switch(self) -> None:
        """Send users to green."""
        (self.folder / "green.active").touch()

    def workers(self) -> set[int]:
        """Return the processes that take requests or still end some."""
        with contextlib.suppress(psutil.Error):
            return {child.pid for child in psutil.Process(self.process.pid).children()}
        return set()

    def reload(self) -> set[int]:
        """Reload nginx, and return the old workers when they were told to end."""
        old = self.workers()
        self.process.send_signal(signal.SIGHUP)
        until_true(lambda: all(_is_ending(pid) for pid in old), what="the old workers end")
        return old


@dataclass(frozen=True)
class Proof:
    """A rule, two configurations that differ in it alone, and what users suffer under the broken one.

    `@@` stands in the texts for the difference. `harm` returns what was lost, doubled, hidden or wrong; '' for nothing.
    """

    rule: str
    broken: str
    kept: str
    harm: Callable[[Bench], str]
    server: str = ""
    http: str = ""
    main: str = ""
    events: str = "worker_connections 1024;"
    temp: str = "FOLDER/proxy"
    listen: str = ""
    facts: LintFacts = field(default_factory=LintFacts)
    # What is known if the difference is not in the configuration.
    broken_facts: LintFacts | None = None
    largest_file: int = 0

    def text(self, difference: str) -> str:
        parts = {name: getattr(self, name) for name in ("main", "events", "http", "server", "temp", "listen")}
        # Workers of another user could not read the folder of the test.
        user = "user root root;" if os.geteuid() == 0 else ""
        return WHOLE.format(user=user, **parts).replace("@@", difference)


def as_cases(proofs: list[Proof], *, always: tuple[str, ...]) -> list[object]:
    """Return the proofs as cases of a test. Those that do not always run are slow."""
    return [
        pytest.param(proof, id=proof.rule, marks=() if proof.rule in always else pytest.mark.slow) for proof in proofs
    ]


@contextlib.contextmanager
def bench(proof: Proof, difference: str, *, folder: Path, facts: LintFacts) -> Iterator[Bench]:
    """Start nginx and the slots with `FOLDER/nginx.conf`, and stop them."""
    port, blue_port, green_port, dns_port = free_ports(4)
    blue, green = FakeSlot("blue", blue_port), FakeSlot("green", green_port)
    moved = threading.Event()
    with contextlib.ExitStack() as stack:
        text = proof.text(difference)
        places = {"LISTEN": f"127.0.0.1:{port}", "BLUE": blue.address, "GREEN": green.address, "FOLDER": str(folder)}
        if "HOLE" in text:
            places["HOLE"] = str(stack.enter_context(unreachable_address()))
        if "MEMORY" in text:
            places["MEMORY"] = stack.enter_context(tempfile.TemporaryDirectory(dir="/dev/shm"))
        if "DNS" in text or "NAME" in text:
            # For nginx a name; the resolver of the C library takes it for 127.0.0.1.
            places |= {"NAME": "0x7f000001", "PORT": str(blue_port), "DNS": f"127.0.0.1:{dns_port}"}
            stack.enter_context(names_answered(dns_port, moved=moved))
        for name, value in places.items():
            text = text.replace(name, value)
        file = folder / "nginx.conf"
        file.write_text(text, encoding="utf-8")
        for slot in (blue, green):
            slot.start()
            stack.callback(slot.stop)
        process = stack.enter_context(_running(file, largest_file=proof.largest_file))
        until_true(lambda: _takes_connections(port, process, folder), what="nginx starts")
        yield Bench(blue, green, folder, port, facts, process, moved)


@contextlib.contextmanager
def _running(file: Path, *, largest_file: int) -> Iterator[subprocess.Popen[bytes]]:
    folder = file.parent
    command = [str(NginxProgram("", folder).binary), "-p", f"{folder}/", "-c", str(file), "-e", f"{folder}/error.log"]
    with (folder / "stderr").open("wb") as stderr:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stderr=stderr,
            preexec_fn=(lambda: limit_files(largest_file)) if largest_file else None,
            restore_signals=not largest_file,
        )
    try:
        yield process
    finally:
        workers = psutil.Process(process.pid).children() if process.poll() is None else []
        process.terminate()
        process.wait(10)
        psutil.wait_procs(workers, timeout=10)


def limit_files(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@contextlib.contextmanager
def names_answered(port: int, *, moved: threading.Event) -> Iterator[None]:
    """Answer each query of DNS: 127.0.0.1, and 127.0.0.2 after the move."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", port))
        server.settimeout(0.1)
        is_over = threading.Event()
        thread = threading.Thread(target=_answer_names, args=(server, moved, is_over))
        thread.start()
        yield
        is_over.set()
        thread.join()


def _answer_names(server: socket.socket, moved: threading.Event, is_over: threading.Event) -> None:
    while not is_over.is_set():
        with contextlib.suppress(TimeoutError):
            query, client = server.recvfrom(512)
            head = query[:2] + bytes.fromhex("81800001000100000000")
            record = bytes.fromhex("c00c00010001000000010004") + bytes([127, 0, 0, 2 if moved.is_set() else 1])
            server.sendto(head + query[12:] + record, client)


def until_true(holds: Callable[[], bool], *, what: str, seconds: float = 10.0) -> None:
    """Return when it holds; fail if it does not in time."""
    assert comes_true(holds, seconds=seconds), f"not within {seconds:g} s: {what}"


def comes_true(holds: Callable[[], bool], *, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def close_without_answer(exchange: Exchange) -> None:
    """Do what was asked, and die before the answer."""
    exchange.close()


def _takes_connections(port: int, process: subprocess.Popen[bytes], folder: Path) -> bool:
    assert process.poll() is None, (folder / "stderr").read_text() + (folder / "nginx.conf").read_text()
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _is_ending(pid: int) -> bool:
    try:
        return "shutting down" in Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return True
