"""Settings of the kernel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.checks.model import CheckFinding, Ground, SiteCheck, ok, warning

# nginx listens with a queue of 511 connections; the kernel cuts a longer queue to this setting.
QUEUE: Final = 511
# Seconds for which the kernel keeps the port of a closed connection.
TIME_WAIT: Final = 60


def _find(ground: Ground) -> Iterator[CheckFinding]:
    machine, settings = ground.machine, ground.settings
    queue = machine.kernel("net.core.somaxconn")
    if queue.isdigit() and int(queue) < QUEUE:
        yield warning(
            f"net.core.somaxconn is {queue}",
            needed=f"{QUEUE}: in a burst, connections beyond this queue are refused before nginx sees them",
            remedy="sudo sysctl net.core.somaxconn=4096",
        )
    words = machine.kernel("net.ipv4.ip_local_port_range").split()
    if len(words) == 2 and settings.proxy.keepalive == 0:
        ports = int(words[1]) - int(words[0])
        if ports < settings.traffic.rate * TIME_WAIT:
            yield warning(
                f"net.ipv4.ip_local_port_range has {ports:,} ports",
                needed=f"{settings.traffic.rate * TIME_WAIT:,.0f}: with [proxy] keepalive = 0 each request uses one "
                f"for {TIME_WAIT} s",
                remedy="set [proxy] keepalive, or: sudo sysctl net.ipv4.ip_local_port_range='1024 65535'",
            )
    if machine.kernel("vm.overcommit_memory") == "2" and settings.site.platform == "process":
        yield warning(
            "vm.overcommit_memory is 2",
            needed="0 or 1: with 2, a process may be refused memory that it reserves and never uses",
            remedy="sudo sysctl vm.overcommit_memory=0",
        )
    yield ok(f"net.core.somaxconn {queue or 'unknown'}, ports {' to '.join(words) or 'unknown'}")


CHECK: Final = SiteCheck("kernel", "The kernel's settings suit a server", _find)
