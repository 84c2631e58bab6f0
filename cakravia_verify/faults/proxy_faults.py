"""Faults of nginx on the embedded platform: its processes, its configuration, its flag."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import psutil

from cakravia_verify.errors import NothingToDo
from cakravia_verify.faults.healing import HealAction, HealStep
from cakravia_verify.faults.model import FaultPlace
from cakravia_verify.platforms.process.nginx_processes import NginxFamily, workers_of
from cakravia_verify.release.direct_users import proxy_deadline
from cakravia_verify.settings.models import Settings
from cakravia_verify.system.processes import has_ended, identity_of

CONFIGURATION: Final = "nginx.conf"
END_SECONDS: Final = 5.0


def family_of(settings: Settings) -> NginxFamily:
    """Return the processes of the site's nginx."""
    folder = settings.state / "nginx"
    return NginxFamily(folder, folder / "nginx.pid")


def _master(place: FaultPlace) -> psutil.Process:
    if (master := family_of(place.site.settings).master()) is None:
        raise NothingToDo("nginx does not run here", remedy="start the site: cakravia up")
    return master


@contextmanager
def worker_killed(place: FaultPlace) -> Iterator[None]:
    """Kill one worker of nginx. The master starts another one."""
    _kill([psutil.Process(workers_of(_master(place))[0])])
    yield


@contextmanager
def worker_stopped(place: FaultPlace) -> Iterator[None]:
    """Stop one worker of nginx (SIGSTOP): its users wait."""
    worker = psutil.Process(workers_of(_master(place))[0])
    with place.journal.healing([HealStep(HealAction.CONTINUE, identity_of(worker))]):
        worker.send_signal(signal.SIGSTOP)
        yield


@contextmanager
def master_killed(place: FaultPlace) -> Iterator[None]:
    """Kill the master of nginx. Its workers go on."""
    _kill([_master(place)])
    yield


@contextmanager
def all_killed(place: FaultPlace) -> Iterator[None]:
    """Kill every process of nginx."""
    _kill(family_of(place.site.settings).everyone())
    yield


@contextmanager
def bad_reload(place: FaultPlace) -> Iterator[None]:
    """Put a directive that nginx does not know into its configuration, and reload."""
    with _replaced(place, lambda content: content + b"\nnonsense;\n"):
        yield


@contextmanager
def half_written(place: FaultPlace) -> Iterator[None]:
    """Cut nginx's configuration in the middle, and reload."""
    with _replaced(place, lambda content: content[: len(content) // 2]):
        yield


@contextmanager
def reloaded(place: FaultPlace) -> Iterator[None]:
    """Reload nginx with the configuration that it has, as other tools do after a renewed certificate."""
    _master(place).send_signal(signal.SIGHUP)
    yield


@contextmanager
def _replaced(place: FaultPlace, change: Callable[[bytes], bytes]) -> Iterator[None]:
    path = family_of(place.site.settings).folder / CONFIGURATION
    kept = path.with_name(f".{path.name}.{secrets.token_hex(4)}.kept")
    shutil.copyfile(path, kept)
    with place.journal.healing([HealStep(HealAction.RESTORE, str(path), (str(kept),))]):
        path.write_bytes(change(path.read_bytes()))
        _master(place).send_signal(signal.SIGHUP)
        yield


@contextmanager
def pointed_elsewhere(place: FaultPlace) -> Iterator[None]:
    """Send users to the slot that stands by, without a release, as a stray command does."""
    site, before, other = place.site, place.active.colour, place.other.colour
    site.proxy.point_at(other, deadline=proxy_deadline(site, f"users are sent to {other}"))
    try:
        yield
    finally:
        site.proxy.point_at(before, deadline=proxy_deadline(site, f"users are sent back to {before}"))


def _kill(found: Sequence[psutil.Process]) -> None:
    for process in found:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    pause = threading.Event()
    for _ in range(int(END_SECONDS / 0.01)):
        if all(has_ended(process) for process in found):
            return
        pause.wait(0.01)
