"""The ports of the proxy and of the slots."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.checks.model import CheckFinding, Ground, SiteCheck, no_error, ok, on_processes, problem, warning
from cakravia_verify.slots import Address, Colour
from cakravia_verify.system.ports import require_free_port

FIRST_FREE: Final = 1024


def _find(ground: Ground) -> Iterator[CheckFinding]:
    settings, site = ground.settings, ground.site
    listens = [(f"[proxy] {key}", address) for key, address in settings.proxy.addresses]
    if site.proxy.observe().is_running:
        yield ok(f"the running proxy has {', '.join(str(address) for _, address in listens)}")
    else:
        for key, address in listens:
            yield _privileged(ground, key, address) or _free(key, address)
    for colour in Colour:
        address = settings.slot_address(colour)
        running = site.platform.observe(colour)
        if running is None:
            yield _free(f"[slots] {colour}", address)
        elif running.address != address:
            yield problem(
                f"[slots] {colour} is {address}, but {running} listens on {running.address}",
                needed="the address that the running slot has",
                remedy=f"set it back to {running.address}; change it only while the slot is empty (cakravia down)",
            )
        else:
            yield ok(f"{running} has {address}")
    yield from _given_to_clients(ground)


def _free(key: str, address: Address) -> CheckFinding:
    return no_error(lambda: require_free_port(address, what=key), found=f"{key}: {address} is free")


def _privileged(ground: Ground, key: str, address: Address) -> CheckFinding | None:
    first = ground.machine.kernel("net.ipv4.ip_unprivileged_port_start")
    lowest = int(first) if first.isdigit() else FIRST_FREE
    if ground.machine.user_id == 0 or address.port >= lowest:
        return None
    return problem(
        f"{key}: only root may listen on port {address.port}",
        needed=f"a port of {lowest} or more, for a user other than root",
        remedy=f"sudo sysctl net.ipv4.ip_unprivileged_port_start={address.port}, or choose another port",
    )


def _given_to_clients(ground: Ground) -> Iterator[CheckFinding]:
    """A client of this machine may get a slot's port for its own end of a connection while the slot is empty."""
    words = ground.machine.kernel("net.ipv4.ip_local_port_range").split()
    if len(words) != 2:
        return
    low, high = map(int, words)
    reserved = _numbers(ground.machine.kernel("net.ipv4.ip_local_reserved_ports"))
    ports = [ground.settings.slots.port(colour) for colour in Colour]
    at_risk = [port for port in ports if low <= port <= high and port not in reserved]
    if at_risk:
        shown = ", ".join(map(str, at_risk))
        yield warning(
            f"the kernel gives the ports {low}-{high} to outgoing connections, also {shown}",
            needed="ports of slots outside of that range: such a connection keeps a slot from starting",
            remedy=f"sudo sysctl net.ipv4.ip_local_reserved_ports={shown.replace(' ', '')}, or choose ports "
            f"below {low}",
        )


def _numbers(ranges: str) -> set[int]:
    """Return the ports in a list such as `3000-3002,8080`."""
    found: set[int] = set()
    for part in filter(None, ranges.split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


CHECK: Final = SiteCheck("ports", "Ports are free, or the site's own", _find, applies=on_processes)
