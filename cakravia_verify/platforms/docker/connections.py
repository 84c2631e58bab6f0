"""The number of connections that the proxy has to a slot, counted in its container or in the slot's."""

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
# Columns of these tables.
LOCAL, REMOTE = 1, 2


def proxy_connections(
    engine: Engine, there: Address, *, slot: Container, proxy: Container | None, proxy_host: str
) -> int:
    """Return how many established connections the proxy, at `proxy_host`, has to `there`, the address of `slot`.

    They are counted in the proxy's container or, if it has no `cat`, in the slot's. Raises PlatformError if both fail.
    """
    for container, other, end in ((proxy, there.host, REMOTE), (slot, proxy_host, LOCAL)):
        if container is None or container.status != "running":
            continue
        with contextlib.suppress(PlatformError):
            _, output = run_in(engine, container, TABLES, what=f"counting connections in {container.name}")
            if b"local_address" in output:
                return _established(output.decode(errors="replace"), there.port, end=end, other=other)
    raise PlatformError(
        f"the connections of {slot.name} cannot be counted: neither it nor the proxy has a `cat`",
        remedy="add `cat` to the image, or add the number of requests in flight to the health answer ([contract] "
        "in_flight_field)",
    )


def _established(table: str, port: int, *, end: int, other: str) -> int:
    """Count the rows of /proc/net/tcp with `port` at that end, and the host `other` at the remote end."""
    wanted, host = f":{port:04X}", _as_kernel_writes(other)
    count = 0
    for line in table.splitlines():
        fields = line.split()
        if len(fields) > 3 and fields[3] == TCP_ESTABLISHED:
            # A server that listens for IPv6 has the proxy's address after a prefix.
            count += fields[end].endswith(wanted) and fields[REMOTE].partition(":")[0].endswith(host)
    return count


def _as_kernel_writes(address: str) -> str:
    return "".join(f"{int(part):02X}" for part in reversed(address.split(".")))
