"""The user and host that act."""

from __future__ import annotations

import getpass
import os
import socket


def who_acts() -> str:
    """Return the user of this process as `user@host`. Under sudo it is the user who called sudo."""
    try:
        user = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"
