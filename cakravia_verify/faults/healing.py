"""How a fault is healed, as data: the session that injects it heals it, or the next command after a kill of it."""

from __future__ import annotations

import contextlib
import resource
import shutil
import signal
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import psutil

from cakravia_verify.platforms.process.nginx_processes import NginxFamily
from cakravia_verify.system.files import write_atomically
from cakravia_verify.system.processes import process_named

# Limits of a process that faults lower. Their numbers differ between systems, so records have the names.
LIMITS: Final = {"memory": resource.RLIMIT_AS, "open files": resource.RLIMIT_NOFILE, "file size": resource.RLIMIT_FSIZE}


class HealAction(StrEnum):
    """What heals a part of a fault. Each action may be repeated, and does nothing without its subject."""

    CONTINUE = "continue a stopped process"
    LIMIT = "give a process its limit back"
    RESTORE = "restore a file"
    END_COPY = "end a copy of a site and remove its folder"


@dataclass(frozen=True)
class HealStep:
    """One action. `subject` is the identity of a process, or a path; `values` are what the action needs besides."""

    action: HealAction
    subject: str
    values: tuple[str, ...] = ()

    def as_json(self) -> Mapping[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> HealStep:
        """Return the step that `as_json` described. Raises KeyError, TypeError or ValueError for anything else."""
        return cls(HealAction(row["action"]), str(row["subject"]), tuple(str(value) for value in row["values"]))

    def __str__(self) -> str:
        return f"{self.action}: {self.subject}"


def heal(step: HealStep) -> None:
    """Carry out one step. Raises OSError or psutil.Error if the system refuses it."""
    _ACTS[step.action](step)


def _continue(step: HealStep) -> None:
    if (process := process_named(step.subject)) is not None:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGCONT)


def _limit(step: HealStep) -> None:
    name, soft, hard = step.values
    if (process := process_named(step.subject)) is not None:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.rlimit(LIMITS[name], (int(soft), int(hard)))


def _restore(step: HealStep) -> None:
    (kept,) = step.values
    target, copy = Path(step.subject), Path(kept)
    if copy.exists():
        write_atomically(target, copy.read_bytes(), mode=0o644)
        copy.unlink()


def _end_copy(step: HealStep) -> None:
    folder = Path(step.subject)
    nginx = folder / "state" / "nginx"
    # The workers do not name the folder, and lose their master here.
    for process in [*NginxFamily(nginx, nginx / "nginx.pid").everyone(), *processes_in(folder)]:
        with contextlib.suppress(psutil.Error):
            process.send_signal(signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


def processes_in(folder: Path) -> list[psutil.Process]:
    """Return the other processes of this user whose command line, folder or environment names the folder."""
    spared = {psutil.Process().pid, *(parent.pid for parent in psutil.Process().parents())}
    return [each for each in psutil.process_iter() if each.pid not in spared and _names(each, str(folder))]


def _names(process: psutil.Process, folder: str) -> bool:
    with contextlib.suppress(psutil.Error, OSError):
        return process.status() != psutil.STATUS_ZOMBIE and any(
            folder in text for text in (*process.cmdline(), process.cwd(), *process.environ().values())
        )
    return False


_ACTS: Final[Mapping[HealAction, Callable[[HealStep], None]]] = {
    HealAction.CONTINUE: _continue,
    HealAction.LIMIT: _limit,
    HealAction.RESTORE: _restore,
    HealAction.END_COPY: _end_copy,
}
