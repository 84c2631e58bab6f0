"""The facts about this machine that a site depends on. A test plants a mistake by overriding one method."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import os
import resource
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

# In the `status` of adjtimex(2): the kernel's clock is not synchronised.
_STA_UNSYNC: Final = 0x40
_TIMEX_BYTES: Final = 208
_TIMEX_STATUS: Final = 40


@dataclass(frozen=True)
class DiskSpace:
    """The room on one file system. `files` is 0 if it has no fixed number of files."""

    free_bytes: int
    free_files: int
    files: int
    is_read_only: bool


@dataclass(frozen=True)
class MemorySpace:
    """The memory of the machine in bytes."""

    total: int
    available: int


@dataclass(frozen=True)
class Ran:
    """How a short command ended. `status` is None if it could not be started, or did not end in time."""

    status: int | None
    output: str


class Machine:
    """This machine, as the system tells it."""

    @property
    def environment(self) -> Mapping[str, str]:
        return os.environ

    @property
    def user_id(self) -> int:
        return os.geteuid()

    @property
    def has_asserts(self) -> bool:
        """Whether Python executes asserts; the checks of the suites are asserts."""
        return not sys.flags.optimize

    def disk(self, path: Path) -> DiskSpace:
        """Return the room on the file system of `path`, or of its nearest folder that exists. Raises OSError."""
        place = next(each for each in (path, *path.absolute().parents) if each.exists())
        found = os.statvfs(place)
        return DiskSpace(
            free_bytes=found.f_bavail * found.f_frsize,
            free_files=found.f_favail,
            files=found.f_files,
            is_read_only=bool(found.f_flag & os.ST_RDONLY),
        )

    def file_system(self, path: Path) -> str:
        """Return the type of the file system of `path`, '' if it is unknown."""
        place = path.resolve()
        best = ("", "")
        with contextlib.suppress(OSError):
            for line in Path("/proc/self/mounts").read_text(errors="replace").splitlines():
                fields = line.split()
                if len(fields) > 2 and place.is_relative_to(fields[1]) and len(fields[1]) >= len(best[0]):
                    best = (fields[1], fields[2])
        return best[1]

    def memory(self) -> MemorySpace:
        found = psutil.virtual_memory()
        return MemorySpace(found.total, found.available)

    def open_files(self) -> tuple[int, int]:
        """Return the soft and the hard limit of open files of this process."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        unlimited = 2**30
        return (soft if soft >= 0 else unlimited, hard if hard >= 0 else unlimited)

    def kernel(self, name: str) -> str:
        """Return a kernel setting such as `net.core.somaxconn`, '' if this kernel has none of that name."""
        with contextlib.suppress(OSError):
            return Path("/proc/sys", *name.split(".")).read_text().strip()
        return ""

    def is_clock_synchronised(self) -> bool | None:
        """Return whether the kernel's clock follows a reference, None if the kernel does not tell."""
        buffer = ctypes.create_string_buffer(_TIMEX_BYTES)
        try:
            if ctypes.CDLL(None, use_errno=True).adjtimex(buffer) < 0:
                return None
        except (OSError, AttributeError):
            return None
        return not int.from_bytes(buffer.raw[_TIMEX_STATUS : _TIMEX_STATUS + 4], sys.byteorder) & _STA_UNSYNC

    def addresses_of(self, host: str) -> tuple[str, ...]:
        """Return the addresses that a host name resolves to, none if it does not resolve."""
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return ()
        return tuple(dict.fromkeys(str(each[4][0]) for each in found))

    def package(self, name: str) -> str:
        """Return the version of an installed Python package, '' without it."""
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return ""

    def program(self, name: str, *, path: str | None = None) -> str:
        """Return the path of a program, '' if there is none of that name."""
        return shutil.which(name, path=path) or ""

    def run(self, command: Sequence[str], *, seconds: float = 10.0) -> Ran:
        """Run a command without input. Its output and its errors are one text."""
        try:
            done = subprocess.run(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=seconds,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return Ran(None, str(error))
        return Ran(done.returncode, done.stdout.decode(errors="replace").strip())
