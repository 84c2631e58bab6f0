"""The two messages to systemd: the service is ready, and it is alive (sd_notify, one datagram each)."""

from __future__ import annotations

import contextlib
import os
import socket


class ServiceNotifier:
    """Sends states to the socket that systemd names in NOTIFY_SOCKET; without one it does nothing."""

    def __init__(self, address: str | None = None) -> None:
        named = os.environ.get("NOTIFY_SOCKET", "") if address is None else address
        # A name that begins with @ is in the abstract namespace.
        self._address = f"\0{named[1:]}" if named.startswith("@") else named

    def ready(self) -> None:
        """Tell systemd that the service runs."""
        self._send("READY=1")

    def alive(self) -> None:
        """Feed the watchdog. When these stop for WatchdogSec, systemd restarts the service."""
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """Set the line that `systemctl status` shows."""
        self._send(f"STATUS={text}")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def _send(self, state: str) -> None:
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.settimeout(0.5)
            channel.sendto(state.encode(), self._address)
