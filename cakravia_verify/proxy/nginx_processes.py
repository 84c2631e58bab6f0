"""The processes of one nginx: its master, its workers, and workers that outlived their master."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

MASTER, WORKER = "nginx: master", "nginx: worker"
SHUTTING_DOWN = "is shutting down"


@dataclass(frozen=True)
class NginxFamily:
    """The processes of the nginx whose prefix is `folder`."""

    folder: Path
    pid_file: Path

    def master(self) -> psutil.Process | None:
        with contextlib.suppress(OSError, ValueError, psutil.Error):
            process = psutil.Process(int(self.pid_file.read_text()))
            if self._is_ours(process):
                return process
        # The pid file may be lost; the master carries the folder in its title.
        return next((process for process in _nginxes() if self._is_ours(process)), None)

    def orphans(self) -> list[psutil.Process]:
        """Workers that go on answering users after their master was killed, until they are told to quit."""
        return [
            process
            for process in _nginxes()
            if _title(process).startswith(WORKER)
            and SHUTTING_DOWN not in _title(process)
            and not _has_master(process)
            and self._has_files_here(process)
        ]

    def _is_ours(self, process: psutil.Process) -> bool:
        title = _title(process)
        return title.startswith(MASTER) and f" -p {self.folder}/ " in f"{title} " and is_alive(process)

    def _has_files_here(self, process: psutil.Process) -> bool:
        with contextlib.suppress(psutil.Error, OSError):
            return any(Path(file.path).parent == self.folder for file in process.open_files())
        return False


def workers_of(master: psutil.Process) -> list[int]:
    """The master's living children, by process id."""
    with contextlib.suppress(psutil.Error):
        return sorted(child.pid for child in master.children() if is_alive(child))
    return []


def takes_requests(pid: int) -> bool:
    """Whether a worker still accepts connections."""
    try:
        process = psutil.Process(pid)
    except psutil.Error:
        return False
    return is_alive(process) and SHUTTING_DOWN not in _title(process)


def is_alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _nginxes() -> Iterator[psutil.Process]:
    for process in psutil.process_iter(["name"]):
        if str(process.info["name"]).startswith("nginx"):
            yield process


def _has_master(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        parent = process.parent()
        return parent is not None and _title(parent).startswith(MASTER)
    return False


def _title(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""
