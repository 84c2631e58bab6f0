"""The number of connections to a slot, counted in its container or in the proxy's container."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from cakravia_verify.errors import PlatformError
from cakravia_verify.platforms.docker.engine.engine import Engine
from cakravia_verify.platforms.docker.engine.exec import run_in
from cakravia_verify.slots import Address

if TYPE_CHECKING:
    from docker.models.containers import Container

TABLES: Final = ("cat", "/proc/net/tcp", "/proc/net/tcp6")
TCP_ESTABLISHED: Final = "01"


def open_connections(engine: Engine, there: Address, *, slot: Container, proxy: Container | None) -> int:
    """Return the number of established connections to `there`, the address of `slot`.

    They are counted in the slot's container or, if it has no `cat`, in the proxy's. Raises PlatformError if both fail.
    """
    for container, is_slot in ((slot, True), (proxy, False)):
        if container is None or container.status != "running":
            continue
        with contextlib.suppress(PlatformError):
            _, output = run_in(engine, container, TABLES, what=f"counting connections in {container.name}")
            if b"local_address" in output:
                return _established(output.decode(errors="replace"), there, local=is_slot)
    raise PlatformError(
        f"the connections of {slot.name} cannot be counted: neither it nor the proxy has a `cat`",
        remedy="add `cat` to the image, or add the number of requests in flight to the health answer ([contract] "
        "in_flight_field)",
    )


def _established(table: str, there: Address, *, local: bool) -> int:
    """Count the rows of /proc/net/tcp with the slot's port at the local or the remote end."""
    wanted, host = f":{there.port:04X}", _as_kernel_writes(there.host)
    count = 0
    for line in table.splitlines():
        fields = line.split()
        if len(fields) > 3 and fields[3] == TCP_ESTABLISHED:
            end = fields[1] if local else fields[2]
            count += end.endswith(wanted) and (local or end.startswith(host))
    return count


def _as_kernel_writes(address: str) -> str:
    return "".join(f"{int(part):02X}" for part in reversed(address.split(".")))
