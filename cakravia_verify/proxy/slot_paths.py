"""The key of a site, and the paths under which the proxy passes a request to one slot, wherever users are.

Smoke requests use them. The key in the path is secret: the idle slot may run a version that is not released. The same
key gets the site's own requests past maintenance.
"""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from typing import Final

from cakravia_verify.errors import ProxyError
from cakravia_verify.slots import Colour
from cakravia_verify.system.files import write_atomically

KEY_FILE: Final = "slot-paths.key"
PREFIX: Final = "/.cakravia/slot"
NAMED_KEY: Final = re.compile(rf"{re.escape(PREFIX)}/([0-9a-f]{{32}})/")


def key_of(folder: Path) -> str:
    """Return the key in the folder. The first call makes it. Raises ProxyError."""
    file = folder / KEY_FILE
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


def keep_key(folder: Path, key: str) -> None:
    """Make this key the folder's own. Raises ProxyError."""
    if key_of(folder) != key:
        write_atomically(folder / KEY_FILE, key.encode())


def passing_header(folder: Path) -> dict[str, str]:
    """Return the header that gets a request of the site's own past maintenance, with its file's name for the key."""
    key_of(folder)
    return {"X-Cakravia-Pass": f"{{file:{(folder / KEY_FILE).resolve()}}}"}
