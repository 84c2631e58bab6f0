"""An address that takes no connection and refuses none."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from cakravia_verify.faults.tcp_proxy import full_queue
from cakravia_verify.slots import Address


@contextlib.contextmanager
def unreachable_address() -> Iterator[Address]:
    """Yield an address that drops every attempt to connect, as the address of a vanished container does."""
    with contextlib.ExitStack() as stack:
        listener, *fillers = full_queue()
        for each in (listener, *fillers):
            stack.enter_context(each)
        yield Address(*listener.getsockname())
