"""This machine: load, memory, disks, and whether it is online."""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import psutil

from cakravia_verify.monitor.facts import HostFacts, VantageFacts
from cakravia_verify.monitor.sampling.source import Collected
from cakravia_verify.monitor.store.samples import MetricSample
from cakravia_verify.system.clock import SYSTEM_CLOCK, Clock

HOST_EVERY: Final = 10.0
VANTAGE_EVERY: Final = 5.0
VANTAGE_SECONDS: Final = 2.0
GATEWAY: Final = "gateway"
# Any port does: a refused connection shows that the gateway is there.
GATEWAY_PORT: Final = 53
_ARP_COMPLETE: Final = 0x2
_UNREACHABLE: Final = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN})


class HostSource:
    """Load, memory and the disks that the site needs."""

    name = "host"
    every = HOST_EVERY
    deadline = 30.0

    def __init__(self, folders: Iterable[Path], *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._folders = tuple(folders)
        self._clock = clock

    def collect(self) -> Collected:
        at = self._clock.wall()
        facts = HostFacts(
            at=at,
            load=psutil.getloadavg()[0],
            cores=psutil.cpu_count() or 1,
            memory=psutil.virtual_memory().percent / 100,
            disks=self._disks(),
        )
        samples = [MetricSample("host/load", at, facts.load), MetricSample("host/memory", at, facts.memory)]
        samples += [MetricSample(f"host/disk{folder}", at, share) for folder, share in facts.disks.items()]
        return Collected(facts, samples)

    def _disks(self) -> Mapping[str, float]:
        """Each disk once, named after the first folder that lies on it."""
        found: dict[int, tuple[str, float]] = {}
        for folder in self._folders:
            with contextlib.suppress(OSError):
                place = next(each for each in (folder, *folder.absolute().parents) if each.exists())
                found.setdefault(place.stat().st_dev, (str(place), psutil.disk_usage(str(place)).percent / 100))
        return dict(found.values())


class VantageSource:
    """Whether this machine reaches anything beside the site. One place that answers is enough."""

    name = "vantage"
    every = VANTAGE_EVERY

    def __init__(self, places: Sequence[str], *, clock: Clock = SYSTEM_CLOCK) -> None:
        self.deadline = VANTAGE_SECONDS * len(places) + 4 * self.every
        self._places = places
        self._clock = clock

    def collect(self) -> Collected:
        problems = []
        for place in self._places:
            problem = _gateway_problem() if place == GATEWAY else _problem_of(*_host_and_port(place))
            if problem is None:
                continue
            if not problem:
                return Collected(VantageFacts(self._clock.wall(), is_online=True, detail=""))
            problems.append(f"{place}: {problem}")
        if not problems:
            return Collected()
        return Collected(VantageFacts(self._clock.wall(), is_online=False, detail="; ".join(problems)))


def _host_and_port(place: str) -> tuple[str, int]:
    if place.startswith(("http://", "https://")):
        parts = urlsplit(place)
        return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    host, _, port = place.rpartition(":")
    return host, int(port)


def _gateway_problem() -> str | None:
    """Return why the gateway is not reached, '' when it is, None when this machine has none."""
    gateway = default_gateway(Path("/proc/net/route"))
    if gateway is None:
        return None
    problem = _problem_of(gateway, GATEWAY_PORT)
    # A gateway that drops packets to this port still answers on the link.
    return "" if problem and _is_on_link(gateway, Path("/proc/net/arp")) and "no route" not in problem else problem


def _problem_of(host: str, port: int) -> str:
    """Return why a place is not reached. A refusal is an answer."""
    try:
        socket.create_connection((host, port), timeout=VANTAGE_SECONDS).close()
    except ConnectionRefusedError:
        return ""
    except OSError as error:
        if error.errno in _UNREACHABLE:
            return "no route"
        return "no answer" if isinstance(error, TimeoutError) else str(error.strerror or error)
    return ""


def default_gateway(table: Path) -> str | None:
    """Return the address of the default gateway by the kernel's routing table, None without one."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in table.read_text().splitlines()[1:]:
            fields = line.split()
            if fields[1] == "00000000" and int(fields[3], 16) & 2:
                return socket.inet_ntoa(struct.pack("<L", int(fields[2], 16)))
    return None


def _is_on_link(address: str, table: Path) -> bool:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in table.read_text().splitlines()[1:]:
            fields = line.split()
            if fields[0] == address:
                return bool(int(fields[2], 16) & _ARP_COMPLETE)
    return False
