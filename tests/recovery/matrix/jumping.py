"""A wall clock that jumps for every process of a site at once, while CLOCK_MONOTONIC goes on, as when somebody sets the
machine's clock.

A library of ours stands between the processes and their libc (clockwork.c). Debian's libfaketime was tried: it also
changes sleeps and timers on CLOCK_MONOTONIC, which no jump of a real clock does.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("clockwork.c")
CLOCK, LIBRARY = "clock", "clockwork.so"
COMPILER = shutil.which("cc")


def set_up(folder: Path) -> None:
    """`folder` has a clock that is right, and the library by which processes are told it."""
    assert COMPILER is not None
    command = [COMPILER, "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", str(folder / LIBRARY), str(SOURCE)]
    subprocess.run(command, check=True)
    jump(folder, 0)


def environment(folder: Path) -> dict[str, str]:
    """What a process has in its environment whose clock is that of `folder`."""
    return {"LD_PRELOAD": str(folder / LIBRARY), "CLOCKWORK": str(folder / CLOCK)}


def jump(folder: Path, hours: float) -> None:
    """The clock of `folder` is `hours` off from now on; every process sees it with its next look."""
    with (folder / CLOCK).open("r+b" if (folder / CLOCK).exists() else "wb", buffering=0) as file:
        file.write(struct.pack("=q", round(hours * 3600)))
