"""The faults that can be injected into a site on the embedded platform."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from cakravia_verify.errors import UsageError
from cakravia_verify.faults import proxy_faults, slot_faults
from cakravia_verify.faults.model import Fault, FaultPlace
from cakravia_verify.faults.tcp_proxy import Trouble


def troubled(trouble: Trouble) -> Callable[[FaultPlace], AbstractContextManager[None]]:
    """Return a fault of the network between nginx and the active slot."""

    @contextmanager
    def inject(place: FaultPlace) -> Iterator[None]:
        with place.detour.troubled(trouble):
            yield

    return inject


FAULTS: Final = (
    Fault("slot-killed", "the active slot is killed (kill -9)", slot_faults.killed, is_essential=True),
    Fault("slot-terminated", "the active slot gets SIGTERM", slot_faults.terminated),
    Fault("slot-stopped", "the active slot hangs (SIGSTOP)", slot_faults.stopped, is_essential=True),
    Fault(
        "slot-crash-loop", "the active slot crashes again and again under `cakravia supervise`", slot_faults.crash_loop
    ),
    Fault(
        "slot-flapping",
        "the active slot hangs and goes on, a second each",
        slot_faults.pulsed(stopped_for=1.0, running_for=1.0),
    ),
    Fault(
        "slot-starved",
        "the active slot gets a fifth of its time",
        slot_faults.pulsed(stopped_for=0.08, running_for=0.02),
    ),
    Fault(
        "slot-memory", "the active slot gets no more memory", slot_faults.limited("memory", slot_faults.memory_in_use)
    ),
    Fault(
        "slot-descriptors",
        "the active slot has no file descriptor left",
        slot_faults.limited("open files", slot_faults.files_in_use),
    ),
    Fault(
        "slot-disk-full",
        "the active slot can write no file",
        slot_faults.limited("file size", slot_faults.no_file),
    ),
    Fault("standby-killed", "the slot that stands by is killed", slot_faults.standby_killed),
    Fault("standby-stopped", "the slot that stands by hangs", slot_faults.standby_stopped),
    Fault("both-killed", "both slots are killed", slot_faults.both_killed),
    Fault("worker-killed", "a worker of nginx is killed", proxy_faults.worker_killed),
    Fault("worker-stopped", "a worker of nginx hangs", proxy_faults.worker_stopped),
    Fault("master-killed", "the master of nginx is killed", proxy_faults.master_killed),
    Fault("nginx-killed", "all of nginx is killed", proxy_faults.all_killed, is_essential=True),
    Fault("reload", "nginx is reloaded", proxy_faults.reloaded),
    Fault("bad-reload", "nginx is reloaded with a wrong directive", proxy_faults.bad_reload),
    Fault("half-written", "nginx is reloaded with half of its configuration", proxy_faults.half_written),
    Fault("stray-switch", "users are sent to the other slot without a release", proxy_faults.pointed_elsewhere),
    Fault("network-refused", "connections to the active slot are refused", troubled(Trouble(refuses=True)), True),
    Fault("network-cut", "the network to the active slot is cut", troubled(Trouble(is_unreachable=True)), True, True),
    Fault("network-silent", "the active slot accepts and no byte comes back", troubled(Trouble(is_silent=True)), True),
    Fault(
        "network-half-open", "open connections go silent, new ones work", troubled(Trouble(silences_open=True)), True
    ),
    Fault("network-latency", "the network to the active slot takes 200 ms", troubled(Trouble(delay=0.1)), True),
    Fault("network-slow", "the active slot sends 20 kB a second", troubled(Trouble(rate=20_000)), True),
    Fault("network-reset", "answers are reset in the middle", troubled(Trouble(cut_after=400)), True),
    Fault("answers-503", "each tenth answer is a 503", troubled(Trouble(error_every=10)), True),
)


def fault_named(name: str) -> Fault:
    """Return the fault. Raises UsageError for an unknown name."""
    for fault in FAULTS:
        if fault.name == name:
            return fault
    raise UsageError(f"there is no fault {name!r}", remedy=f"choose from: {', '.join(each.name for each in FAULTS)}")
