"""Where a site's monitor keeps its files, and that it is the only one."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from cakravia_verify.errors import UsageError
from cakravia_verify.settings.models import Settings
from cakravia_verify.system.files import make_folder


@dataclass(frozen=True)
class MonitorPlace:
    """The folder of a monitor: samples, alerts with the outbox, its present state, and its lock."""

    folder: Path

    @property
    def state_file(self) -> Path:
        """What the running monitor sees, as JSON; written every few seconds."""
        return self.folder / "monitor.json"

    @property
    def service_file(self) -> Path:
        """How `monitor install` set the service up, as JSON."""
        return self.folder / "service.json"

    @property
    def log(self) -> Path:
        return self.folder / "monitor.log"

    def claim(self) -> int:
        """Hold the folder until this process ends. Raises UsageError when another monitor runs."""
        make_folder(self.folder)
        handle = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(handle)
            raise UsageError(
                f"a monitor of this site runs already: {self.folder} is in use",
                remedy="look at it with: cakravia monitor status",
            ) from error
        return handle

    def is_running(self) -> bool:
        """Whether a monitor holds the folder now."""
        try:
            handle = os.open(self.folder / "lock", os.O_RDWR)
        except OSError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
        return False


def place_of(settings: Settings) -> MonitorPlace:
    """Return the place of the site's monitor."""
    return MonitorPlace(settings.state / "monitor")
