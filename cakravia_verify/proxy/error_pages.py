"""Pages of the site's own for errors of the proxy and for maintenance, read from the releasing machine."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from cakravia_verify.errors import UsageError
from cakravia_verify.settings.proxy import ProxySettings

NAMES: Final = ("502", "503", "504", "maintenance", "strangers")


def read_error_pages(settings: ProxySettings) -> dict[str, bytes]:
    """Return the pages in the folder `[proxy] pages` by name. Raises UsageError if it has none or cannot be read."""
    if not settings.pages:
        return {}
    files = {name: Path(settings.pages) / f"{name}.html" for name in NAMES}
    try:
        pages = {name: file.read_bytes() for name, file in files.items() if file.exists()}
    except OSError as error:
        raise UsageError(
            f"[proxy] pages: {error.filename} cannot be read: {error.strerror}", remedy="correct its permissions"
        ) from error
    if not pages:
        raise UsageError(
            f"[proxy] pages: the folder {settings.pages} has none of {', '.join(file.name for file in files.values())}",
            remedy="write at least one of them, or remove the setting; users still get the present pages",
        )
    return pages


def digest_of(pages: Mapping[str, bytes]) -> str:
    """Return a short name for these pages. Changed pages have another one."""
    digest = hashlib.sha256()
    for name, content in sorted(pages.items()):
        digest.update(f"{name} {len(content)} ".encode() + content)
    return digest.hexdigest()[:16]
