"""Faults of the processes in a slot: death, standstill, slowness, and limits that are used up."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Final

import psutil

from cakravia_verify.errors import CakraviaError, PlatformError
from cakravia_verify.faults.healing import LIMITS, HealAction, HealStep
from cakravia_verify.faults.model import FaultPlace
from cakravia_verify.platforms.process.slot_processes import processes_of_session
from cakravia_verify.recovery.supervisor import Supervisor
from cakravia_verify.site.assembly import open_site
from cakravia_verify.slots import Slot
from cakravia_verify.system.processes import has_ended, identity_of, process_named

END_SECONDS: Final = 5.0
# Seconds between two kills of a slot that a supervisor starts again.
KILL_EVERY: Final = 0.3


def processes_of(slot: Slot) -> list[psutil.Process]:
    """Return the slot's process and all processes of its session, the first one first."""
    first = process_named(slot.identity)
    if first is None:
        return []
    return [first, *(each for each in processes_of_session(first.pid) if each.pid != first.pid)]


def kill_slot(slot: Slot) -> None:
    """Kill every process of the slot, and wait for their end."""
    found = processes_of(slot)
    for process in found:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    deadline = threading.Event()
    for _ in range(int(END_SECONDS / 0.01)):
        if all(has_ended(process) for process in found):
            return
        deadline.wait(0.01)
    raise PlatformError(f"{slot} does not end after SIGKILL", remedy="see what its processes wait for: ps -l")


@contextmanager
def killed(place: FaultPlace) -> Iterator[None]:
    """Kill the active slot."""
    kill_slot(place.active)
    yield


@contextmanager
def standby_killed(place: FaultPlace) -> Iterator[None]:
    """Kill the slot that stands by."""
    kill_slot(place.other)
    yield


@contextmanager
def both_killed(place: FaultPlace) -> Iterator[None]:
    """Kill both slots."""
    kill_slot(place.other)
    kill_slot(place.active)
    yield


@contextmanager
def terminated(place: FaultPlace) -> Iterator[None]:
    """Send SIGTERM to the active slot, as an operator or the kernel's shutdown does."""
    for process in processes_of(place.active)[:1]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    yield


@contextmanager
def stopped(place: FaultPlace) -> Iterator[None]:
    """Stop the active slot (SIGSTOP): it accepts connections and answers none."""
    with _stopped(place, processes_of(place.active)):
        yield


@contextmanager
def standby_stopped(place: FaultPlace) -> Iterator[None]:
    """Stop the slot that stands by (SIGSTOP)."""
    with _stopped(place, processes_of(place.other)):
        yield


@contextmanager
def _stopped(place: FaultPlace, found: Sequence[psutil.Process]) -> Iterator[None]:
    with place.journal.healing(_continuing(found)):
        _signal(found, signal.SIGSTOP)
        yield


def pulsed(*, stopped_for: float, running_for: float) -> Callable[[FaultPlace], AbstractContextManager[None]]:
    """Return a fault that stops and continues the active slot in turn. Both lengths are in seconds."""

    @contextmanager
    def inject(place: FaultPlace) -> Iterator[None]:
        found = processes_of(place.active)
        over = threading.Event()

        def pulse() -> None:
            while not over.is_set():
                _signal(found, signal.SIGSTOP)
                over.wait(stopped_for)
                _signal(found, signal.SIGCONT)
                over.wait(running_for)

        thread = threading.Thread(target=pulse, name="pulse", daemon=True)
        with place.journal.healing(_continuing(found)):
            thread.start()
            try:
                yield
            finally:
                over.set()
                thread.join(END_SECONDS)

    return inject


@contextmanager
def crash_loop(place: FaultPlace) -> Iterator[None]:
    """Kill the active slot again and again, while a supervisor starts it again."""
    site = open_site(place.site.settings)
    supervisor = Supervisor(site, told=lambda _: None, interval=KILL_EVERY)
    over = threading.Event()

    def kill() -> None:
        while not over.is_set():
            with contextlib.suppress(CakraviaError):
                if slot := place.site.platform.observe(place.active.colour):
                    kill_slot(slot)
            over.wait(KILL_EVERY)

    threads = [threading.Thread(target=work, daemon=True) for work in (kill, supervisor.run)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        supervisor.stop()
        for thread in threads:
            thread.join(2 * site.settings.health.deadline)


def limited(name: str, lowest: Callable[[psutil.Process], int]) -> Callable[[FaultPlace], AbstractContextManager[None]]:
    """Return a fault that lowers a limit of the active slot's processes to what they use (`lowest`)."""

    @contextmanager
    def inject(place: FaultPlace) -> Iterator[None]:
        number = LIMITS[name]
        found = processes_of(place.active)
        before = [(process, process.rlimit(number)) for process in found]
        steps = [
            HealStep(HealAction.LIMIT, identity_of(process), (name, str(soft), str(hard)))
            for process, (soft, hard) in before
        ]
        with place.journal.healing(steps):
            for process, (_, hard) in before:
                process.rlimit(number, (lowest(process), hard))
            yield

    return inject


def memory_in_use(process: psutil.Process) -> int:
    return int(process.memory_info().vms)


def files_in_use(process: psutil.Process) -> int:
    """Return how many descriptors the process has: with this limit it can open no further one."""
    return int(process.num_fds())


def no_file(_: psutil.Process) -> int:
    return 0


def _continuing(found: Sequence[psutil.Process]) -> list[HealStep]:
    return [HealStep(HealAction.CONTINUE, identity_of(process)) for process in found]


def _signal(found: Sequence[psutil.Process], number: signal.Signals) -> None:
    for process in found:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)
