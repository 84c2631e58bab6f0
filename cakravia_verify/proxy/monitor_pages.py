"""What the proxy serves of the monitor: pages from files, and the way to the running monitor."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cakravia_verify.settings.models import Settings
from cakravia_verify.settings.monitor import MonitorSettings
from cakravia_verify.settings.section import is_nginx_path
from cakravia_verify.slots import Address

USER: Final = "monitor"
PASSWORD_FILE: Final = "monitor.htpasswd"  # noqa: S105 - a name
PRIVATE: Final = ("monitor.html", "monitor.json", "monitor.facts.json")
PUBLIC: Final = ("status.html", "status.json")


@dataclass(frozen=True)
class MonitorPages:
    """The pages of the monitor as nginx sees them. Without `password` only those for the public are served.

    `live` is where the running monitor listens, None when nginx cannot reach it. `reports` is the folder of reports, ''
    when nginx cannot read it.
    """

    folder: str
    password_file: str
    password: str
    is_public: bool
    live: Address | None = None
    has_actions: bool = False
    reports: str = ""

    @property
    def password_digest(self) -> str:
        """What changes with the password: a configuration with another one is loaded anew."""
        return hashlib.sha256(self.password.encode()).hexdigest()[:16]

    @property
    def password_line(self) -> bytes:
        """The content of nginx's file of users."""
        return f"{USER}:{self.password}\n".encode()

    @property
    def public(self) -> tuple[str, ...]:
        return PUBLIC if self.is_public else ()

    @property
    def private(self) -> tuple[str, ...]:
        return PRIVATE if self.password else ()


def local_pages(settings: Settings, *, nginx_folder: Path) -> MonitorPages | None:
    """Return the pages for an nginx of this machine, None when the settings open none."""
    monitor = settings.monitor
    if not has_pages(monitor):
        return None
    return MonitorPages(
        folder=str(pages_folder(settings)),
        password_file=str(nginx_folder / PASSWORD_FILE),
        password=monitor.password,
        is_public=monitor.public,
        live=monitor.listen_address if monitor.password else None,
        has_actions=bool(monitor.actions),
        reports=str(settings.reports) if is_nginx_path(str(settings.reports)) else "",
    )


def has_pages(monitor: MonitorSettings) -> bool:
    return bool(monitor.password) or monitor.public


def pages_folder(settings: Settings) -> Path:
    """Return where the monitor writes its pages on this machine."""
    return settings.state / "monitor" / "web"
