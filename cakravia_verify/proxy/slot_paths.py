"""The paths under which the proxy passes a request to one slot, wherever users are.

Smoke requests use them. The key in the path is secret: the idle slot may run a version that is not released.
"""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from typing import Final

from cakravia_verify.errors import ProxyError
from cakravia_verify.slots import Colour
from cakravia_verify.system.files import write_atomically

PREFIX: Final = "/.cakravia/slot"
NAMED_KEY: Final = re.compile(rf"{re.escape(PREFIX)}/([0-9a-f]{{32}})/")


def key_of(folder: Path) -> str:
    """Return the key in the folder. The first call makes it. Raises ProxyError."""
    file = folder / "slot-paths.key"
    try:
        if not file.exists():
            write_atomically(file, secrets.token_hex(16).encode())
        return file.read_text(encoding="ascii")
    except OSError as error:
        raise ProxyError(
            f"{file} cannot be read or made: {error.strerror}", remedy="correct the permissions of its folder"
        ) from error


def key_in(configuration: str) -> str:
    """Return the key in the text of an nginx configuration, empty if it has none."""
    found = NAMED_KEY.search(configuration)
    return found[1] if found else ""


def slot_path(key: str, colour: Colour) -> str:
    """Return the path of the slot, to be followed by the path of a request."""
    return f"{PREFIX}/{key}/{colour}"
