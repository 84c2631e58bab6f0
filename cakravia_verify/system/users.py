"""The user and host that act."""

from __future__ import annotations

import getpass
import os
import socket


def who_acts() -> str:
    """The person or pipeline behind this process, as `user@host`, with the person behind sudo named."""
    try:
        user = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"
