"""How many connections a slot has: counted in its own network, or from the proxy's side."""

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
    """Established connections to `there`, where `slot` listens; told by the slot or, if it has no `cat`, by the proxy.

    Raises PlatformError where neither can tell.
    """
    for asked, mine in ((slot, True), (proxy, False)):
        if asked is None or asked.status != "running":
            continue
        with contextlib.suppress(PlatformError):
            _, said = run_in(engine, asked, TABLES, what=f"counting connections in {asked.name}")
            if b"local_address" in said:
                return _established(said.decode(errors="replace"), there, local=mine)
    raise PlatformError(
        f"the connections of {slot.name} cannot be counted: neither it nor the proxy has a `cat`",
        remedy="put one into the image, or let the application tell what it has in flight ([contract])",
    )


def _established(table: str, there: Address, *, local: bool) -> int:
    """Rows of /proc/net/tcp whose local end, or other end, is the slot's port."""
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
