"""One ssh connection to the machine of a remote engine. Its socket and its slots are reached through it."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

from cakravia_verify.errors import MissingTool, PlatformError, UsageError
from cakravia_verify.slots import Address
from cakravia_verify.system.clock import SYSTEM_CLOCK, Clock, Deadline, poll

ENGINE_SOCKET = "/var/run/docker.sock"
CONNECT_SECONDS = 20.0
# Its standard input ends with this process, however that ends. The shell then ends the connection.
WATCHED_SSH = 'exec 3<&0; ssh "$@" </dev/null 3<&- & p=$!; { cat <&3; kill $p; } >/dev/null 2>&1 & wait $p'


class SshTunnel:
    """A master connection of this machine's `ssh`, with its keys, known hosts and ~/.ssh/config.

    It ends with this process. The URL is `ssh://user@host:port/path/of/docker.sock`; the path is optional.
    """

    def __init__(self, url: str, *, clock: Clock = SYSTEM_CLOCK) -> None:
        parts = urlsplit(url)
        if not parts.hostname:
            raise UsageError(f"{url!r} names no host", remedy="write it as ssh://user@host or ssh://user@host:22")
        self.host = parts.hostname
        self._destination = f"{parts.username}@{parts.hostname}" if parts.username else parts.hostname
        self._port = ("-p", str(parts.port)) if parts.port else ()
        self._remote_socket = parts.path if parts.path not in ("", "/") else ENGINE_SOCKET
        self._clock = clock
        self._forwarded: dict[Address, Address] = {}

    @cached_property
    def _folder(self) -> Path:
        # A short path: a socket's path has at most 107 characters.
        folder = Path(tempfile.mkdtemp(prefix="cakravia-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        return folder

    @cached_property
    def engine_address(self) -> str:
        """The local address of the forwarded engine socket."""
        self._master()
        return f"unix://{self._folder / 'engine'}"

    def reach(self, there: Address) -> Address:
        """Forward an address of the other machine. Returns the local address."""
        if there not in self._forwarded:
            self._master()
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                here = Address("127.0.0.1", int(probe.getsockname()[1]))
            forward = self._ssh("-O", "forward", "-L", f"{here}:{there}", self._destination)
            if forward.returncode != 0:
                raise PlatformError(
                    f"ssh does not forward to {there}: {forward.stderr.strip()[:300]}",
                    remedy="set AllowTcpForwarding yes in that machine's sshd_config",
                )
            self._forwarded[there] = here
        return self._forwarded[there]

    def close(self) -> None:
        """Close the connection."""
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            self._ssh("-O", "exit", self._destination)

    def _master(self) -> None:
        control = self._folder / "control"
        if control.exists():
            return
        if not shutil.which("ssh"):
            raise MissingTool("there is no ssh on this machine", remedy="install the OpenSSH client")
        process = subprocess.Popen(
            [
                *("sh", "-c", WATCHED_SSH, "ssh", "-N", "-M", "-S", str(control), *self._port),
                # With ControlPersist, ssh would go on in the background after its end.
                *(
                    "-o",
                    "ControlPersist=no",
                    "-o",
                    "BatchMode=yes",
                    "-o",
                    "ExitOnForwardFailure=yes",
                    "-o",
                    "ServerAliveInterval=15",
                ),
                *("-L", f"{self._folder / 'engine'}:{self._remote_socket}", self._destination),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            # Ctrl-C in the terminal must not end the connection: a rollback needs it.
            start_new_session=True,
        )
        atexit.register(_end, process)

        def is_up() -> bool:
            if process.poll() is not None:
                output = process.stderr.read().strip() if process.stderr else ""
                raise UsageError(
                    f"ssh to {self._destination} does not work: {output.splitlines()[-1] if output else 'it ended'}",
                    remedy=f"try: ssh {' '.join((*self._port, self._destination))} docker version",
                )
            return control.exists() and (self._folder / "engine").exists()

        poll(is_up, deadline=Deadline(f"ssh to {self._destination}", CONNECT_SECONDS, clock=self._clock))

    def _ssh(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["ssh", "-S", str(self._folder / "control"), *self._port, *arguments],
            capture_output=True,
            text=True,
            timeout=CONNECT_SECONDS,
            stdin=subprocess.DEVNULL,
            check=False,
        )


def _end(process: subprocess.Popen[str]) -> None:
    if process.stdin:
        process.stdin.close()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.stderr:
        process.stderr.close()
