"""The end of a slot's processes: a stop signal to all of them, their grace, then a kill."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Collection

import psutil

from cakravia_verify.system.clock import Deadline


def end_in_grace(
    first: psutil.Process | None,
    others: Callable[[], Collection[psutil.Process]],
    *,
    grace: Deadline,
    is_gone: Callable[[psutil.Process], bool],
) -> bool:
    """Tell a slot's processes to end, and wait. Returns whether all of them ended within the grace.

    `first` is the process that the slot's command became. `others` returns the other processes that run now. The first
    is told first: a wrapper such as `npm start` passes the signal on, and many servers give up their requests at a
    second signal. The others are told when the first has ended, or when half of the grace is over: a shell passes
    nothing on.
    """
    half = grace.remaining / 2
    told: set[psutil.Process] = set()
    if first is not None:
        _tell(first)
    while True:
        has_first_ended = first is None or is_gone(first)
        if has_first_ended or grace.remaining <= half:
            left = set(others())
            if has_first_ended and not left:
                return True
            for process in left - told:
                _tell(process)
            told |= left
        if grace.is_over:
            return False
        grace.clock.sleep(0.02)


def kill_group(process: psutil.Process, *, group: int) -> None:
    """Kill the process and its group. The group of this process itself is never killed."""
    if group != os.getpgrp():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
    with contextlib.suppress(psutil.Error):
        process.kill()


def _tell(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.Error):
        process.send_signal(signal.SIGTERM)
