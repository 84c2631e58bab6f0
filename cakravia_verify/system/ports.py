"""The TCP ports of this machine, and the processes that listen on them."""

from __future__ import annotations

import contextlib
import errno
import socket

import psutil

from cakravia_verify.errors import UsageError
from cakravia_verify.slots import Address
from cakravia_verify.system.clock import Deadline


def require_free_port(address: Address, *, what: str) -> None:
    """Raise UsageError if `address` cannot be listened on.

    The error names the setting that needs it (`what`) and the process that has it.
    """
    try:
        with socket.socket(socket.AF_INET6 if ":" in address.host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if ":" in address.host:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind((address.host, address.port))
    except (OSError, OverflowError) as error:
        number = error.errno if isinstance(error, OSError) else None
        if number == errno.EADDRINUSE:
            raise UsageError(
                f"{what}: {address} is in use by {listener(address.port)}",
                remedy="stop that process, or choose another port in cakravia.toml; the process was not touched",
            ) from error
        raise UsageError(
            f"{what}: cannot listen on {address}: {error}",
            remedy="choose an address of this machine and a port that this user may use",
        ) from error


def await_free_port(address: Address, *, what: str, deadline: Deadline) -> None:
    """Wait until `address` can be listened on. Raises UsageError, with the process that has it, at the deadline."""
    while True:
        try:
            require_free_port(address, what=what)
        except UsageError:
            if deadline.is_over:
                raise
            deadline.clock.sleep(0.01)
        else:
            return


def listener(port: int) -> str:
    """Describe the process that listens on a TCP port."""
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections(kind="tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port:
                with contextlib.suppress(psutil.Error):
                    if connection.pid:
                        process = psutil.Process(connection.pid)
                        return f"process {process.pid} ({' '.join(process.cmdline())[:80]}, user {process.username()})"
    return "another process"
