"""Somebody's observer that leaves a socket to the garbage collector whenever the release does something."""

from __future__ import annotations

import gc
import socket


def pytest_cakravia_step() -> None:
    socket.socket().fileno()
    gc.collect()
