"""Commands on a terminal of their own, as a person types them."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.plugin.sessions.shop import Shop

_CONTROLS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass
class Terminal:
    """A command on a terminal. `written` is everything it wrote, with its control sequences."""

    process: subprocess.Popen[bytes]
    controller: int
    written: bytearray = field(default_factory=bytearray)

    def read(self, seconds: float) -> None:
        """Read for at most this long what the command writes."""
        try:
            if select.select([self.controller], [], [], seconds)[0]:
                self.written += os.read(self.controller, 65_536)
        except OSError:  # its other side is closed
            time.sleep(min(seconds, 0.05))

    def wait_for(self, words: str, *, seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while words not in self.text:
            assert time.monotonic() < deadline, self.text
            assert self.process.poll() is None or words in self.text, self.text
            self.read(0.1)

    def end(self, *, seconds: float = 120.0) -> int:
        """Return the exit status of the command, once it has ended."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.text
            self.read(0.1)
        for _ in range(20):
            self.read(0.01)
        return self.process.returncode

    @property
    def text(self) -> str:
        """What it wrote, without control sequences."""
        return _CONTROLS.sub("", self.written.decode(errors="replace")).replace("\r", "")


@contextmanager
def on_terminal(shop: Shop, *arguments: str, columns: int, **environment: str) -> Iterator[Terminal]:
    """Run `cakravia` on a terminal of this width."""
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    own = ("CAKRAVIA_", "PYTEST_", "COLUMNS", "LINES", "CI", "NO_COLOR", "FORCE_COLOR", "GITHUB_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    paths = os.pathsep.join(map(str, shop.python_path))
    process = subprocess.Popen(
        [sys.executable, "-m", "cakravia_verify.cli", *shop.site, *arguments],
        cwd=shop.folder,
        env=inherited | {"TERM": "xterm", "PYTHONPATH": paths} | environment,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    try:
        yield Terminal(process, controller)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)
        os.close(controller)
