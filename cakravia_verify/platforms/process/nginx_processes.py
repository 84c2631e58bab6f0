"""The processes of one nginx: its master, its workers, and workers without a master."""

from __future__ import annotations

import contextlib
import resource
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from cakravia_verify.errors import ProxyError
from cakravia_verify.slots import Address
from cakravia_verify.system.clock import Clock, Deadline
from cakravia_verify.system.files import write_atomically
from cakravia_verify.system.processes import has_ended

MASTER, WORKER = "nginx: master", "nginx: worker"
SHUTTING_DOWN = "is shutting down"
# A working worker reacts to a signal at once. A worker that has not reacted after this time is hung.
HUNG_SECONDS: Final = 5.0
# What a process without a limit may open.
MOST_FILES: Final = 2**30


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

    def open_files(self) -> int:
        """Return the hard limit of open files of the master, or of this process, from which a new master has it."""
        process = self.master() or psutil.Process()
        with contextlib.suppress(psutil.Error, OSError):
            _, hard = process.rlimit(psutil.RLIMIT_NOFILE)
            return hard if hard >= 0 else MOST_FILES
        return resource.getrlimit(resource.RLIMIT_NOFILE)[1]

    def fullest_worker(self) -> int | None:
        """Return the most files that a worker has open: its connections and few others. None without a worker."""
        master = self.master()
        workers = workers_of(master) if master else [orphan.pid for orphan in self.orphans()]
        found = []
        for pid in workers:
            with contextlib.suppress(psutil.Error, OSError):
                found.append(psutil.Process(pid).num_fds())
        return max(found, default=None)

    def write_pid_file(self, master: psutil.Process) -> None:
        """Write the master's process id. nginx writes it only at its start; log rotation reads it."""
        content = f"{master.pid}\n".encode()
        with contextlib.suppress(OSError):  # the master can be found without it
            if not self.pid_file.exists() or self.pid_file.read_bytes() != content:
                write_atomically(self.pid_file, content, mode=0o644)

    def orphans(self) -> list[psutil.Process]:
        """Return the workers that still answer users after their master was killed."""
        return [worker for worker in self._masterless() if SHUTTING_DOWN not in _title(worker)]

    def everyone(self) -> list[psutil.Process]:
        """Return the master first, then its workers and all workers without a master, shutting down or not."""
        master, family = self.master(), self._masterless()
        if master is not None:
            with contextlib.suppress(psutil.Error):
                family = [*(child for child in master.children() if is_alive(child)), *family]
            family.insert(0, master)
        return family

    def listens(self) -> set[Address] | None:
        """Return the addresses that nginx listens on, None if they cannot be read."""
        found = set()
        for process in self.everyone():
            try:
                opened = process.net_connections(kind="tcp")
            except psutil.NoSuchProcess:
                continue
            except psutil.Error:
                return None
            found |= {Address(*each.laddr) for each in opened if each.status == psutil.CONN_LISTEN}
        return found

    def _masterless(self) -> list[psutil.Process]:
        return [
            process
            for process in _nginxes()
            if _title(process).startswith(WORKER) and not _has_master(process) and self._has_files_here(process)
        ]

    def _is_ours(self, process: psutil.Process) -> bool:
        title = _title(process)
        return title.startswith(MASTER) and f" -p {self.folder}/ " in f"{title} " and is_alive(process)

    def _has_files_here(self, process: psutil.Process) -> bool:
        """Return whether the process has a file of this folder open. A removed log counts too."""
        with contextlib.suppress(OSError):
            for opened in Path(f"/proc/{process.pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    if Path(str(opened.readlink()).removesuffix(" (deleted)")).parent == self.folder:
                        return True
        return False


def workers_of(master: psutil.Process) -> list[int]:
    """Return the process ids of the master's running children."""
    with contextlib.suppress(psutil.Error):
        return sorted(child.pid for child in master.children() if is_alive(child))
    return []


def takes_requests(pid: int) -> bool:
    """Return whether a worker still accepts connections."""
    try:
        process = psutil.Process(pid)
    except psutil.Error:
        return False
    return is_alive(process) and SHUTTING_DOWN not in _title(process)


def is_alive(process: psutil.Process) -> bool:
    return not has_ended(process)


def is_child(process: psutil.Process, master: psutil.Process | None) -> bool:
    with contextlib.suppress(psutil.Error):
        return master is not None and process.ppid() == master.pid
    return False


def send(process: psutil.Process, number: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def end_hung(workers: Sequence[int], *, clock: Clock) -> None:
    """Kill hung workers. Raises ProxyError if one does not end."""
    doomed = []
    for pid in workers:
        with contextlib.suppress(psutil.NoSuchProcess):
            doomed.append(psutil.Process(pid))
    for process in doomed:
        send(process, signal.SIGKILL)
    if not has_all_ended(doomed, Deadline("hung workers end", 2.0, clock=clock)):
        raise ProxyError(
            f"nginx's workers {list(workers)} do not end after SIGKILL",
            remedy=f"see what they wait for: ps -o pid,stat,wchan:30 -p {','.join(map(str, workers))}",
        )


def has_all_ended(processes: Sequence[psutil.Process], deadline: Deadline) -> bool:
    """Wait until all processes have ended. Returns False at the deadline. A zombie has ended."""
    while any(is_alive(process) for process in processes):
        if deadline.is_over:
            return False
        deadline.clock.sleep(0.01)
    return True


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
