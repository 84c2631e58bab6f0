"""What every channel does, and its secrets."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from cakravia_verify.errors import CakraviaError, UsageError
from cakravia_verify.monitor.notify.message import Message
from cakravia_verify.settings.monitor import ChannelSettings

HIDDEN = "[hidden]"


class NotDelivered(CakraviaError):  # noqa: N818
    """A channel did not accept a message."""


class Channel(Protocol):
    """Carries one message at a time. `send` returns after the receiver accepted it; it raises NotDelivered."""

    @property
    def name(self) -> str: ...

    def send(self, message: Message) -> None: ...


def secret_from(path: Path) -> str:
    """Return the first line of a file with a secret. Raises UsageError naming the file, never its content."""
    try:
        lines = path.read_text(encoding="utf-8").strip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise UsageError(f"the secret in {path} cannot be read: {reason}", remedy="correct its path or mode") from error
    if not lines:
        raise UsageError(f"{path} is empty, but should hold a secret", remedy="write the secret into its first line")
    return lines[0].strip()


class Credentials:
    """The URL and the secret of a channel, read anew for every message, so that a renewed file takes effect."""

    def __init__(self, settings: ChannelSettings, root: Path) -> None:
        self._settings = settings
        self._root = root

    @property
    def url(self) -> str:
        if self._settings.url_file:
            return secret_from(self._root / self._settings.url_file)
        return self._settings.url

    @property
    def secret(self) -> str:
        return secret_from(self._root / self._settings.secret_file) if self._settings.secret_file else ""

    def redacted(self, text: str) -> str:
        """Return the text without the secret, and without the parts of the URL that may be one."""
        return redacted(text, self._hidden())

    def _hidden(self) -> Iterable[str]:
        with contextlib.suppress(UsageError):
            yield self.secret
        with contextlib.suppress(UsageError):
            yield (url := self.url)
            yield from parts_of_url(url)


def parts_of_url(url: str) -> Iterable[str]:
    """Yield what may be secret in a URL: user, password, path and query. Host and scheme are no secret."""
    try:
        parts = urlsplit(url)
        yield from filter(None, (parts.password, parts.username, parts.query))
    except ValueError:
        return
    if len(parts.path) > 1:
        yield parts.path
        yield from (part for part in parts.path.split("/") if len(part) >= 8)


def redacted(text: str, hidden: Iterable[str]) -> str:
    """Return the text with every hidden part replaced, the longest first."""
    for part in sorted(set(hidden), key=len, reverse=True):
        if len(part) > 2:
            text = text.replace(part, HIDDEN)
    return text
