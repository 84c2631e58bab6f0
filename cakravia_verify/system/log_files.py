"""The part of a shared log that one run wrote, and size limits for logs."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import Final

from cakravia_verify.errors import TrafficError

# Bytes. The start of a run, `cakravia up` and `cakravia recover` empty or rotate longer logs.
LONGEST_LOG: Final = 64 * 2**20


class LogCuts:
    """The end of each log at the start of a run. Everything after it belongs to the run."""

    def __init__(self) -> None:
        self._offsets: dict[Path, int] = {}
        self._sizes: dict[Path, int] = {}

    def remember(self, *logs: Path | None) -> None:
        """Store the present ends of the logs. Their present content belongs to other runs."""
        for path in logs:
            if path is not None:
                with contextlib.suppress(OSError):
                    self._offsets[path] = path.stat().st_size

    def require_growth(self, *logs: Path) -> None:
        """Raise TrafficError if a log became shorter since the last call. During a run a request log only grows."""
        for path in logs:
            try:
                size = path.stat().st_size
            except OSError:
                size = -1
            if size < self._sizes.get(path, -1):
                raise TrafficError(
                    f"{path} was {'removed' if size < 0 else 'cut'} while the release ran: its requests are lost as "
                    "evidence",
                    remedy=f"stop log rotation for {path.name} while a release runs, then release again",
                )
            self._sizes[path] = size

    def copy(self, source: Path | None, target: Path) -> Path | None:
        """Copy the run's part of the log to `target`. Returns None without a log. Copies all of a log that shrank."""
        if source is None or not source.exists():
            return None
        with source.open("rb") as whole, target.open("wb") as part:
            start = self._offsets.get(source, 0)
            whole.seek(start if start <= source.stat().st_size else 0)
            shutil.copyfileobj(whole, part)
        return target

    def copy_written(self, source: Path | None, target: Path) -> Path | None:
        """Copy like `copy`, but return None if the run added nothing: the application then keeps no such log."""
        copied = self.copy(source, target)
        if copied is not None and not copied.stat().st_size:
            copied.unlink()
            return None
        return copied


def empty_long(log: Path) -> None:
    """Empty a log that is longer than LONGEST_LOG. A writer with O_APPEND continues at its start."""
    with contextlib.suppress(OSError):
        if log.stat().st_size > LONGEST_LOG:
            os.truncate(log, 0)


def set_long_aside(log: Path) -> bool:
    """Rename a log that is longer than LONGEST_LOG to `<log>.1`, replacing an earlier one. Returns whether it did.

    Its writer continues with the renamed file until it opens the log again.
    """
    try:
        if log.stat().st_size <= LONGEST_LOG:
            return False
        log.replace(older(log))
    except OSError:
        return False
    return True


def keep_long_twice(log: Path) -> None:
    """Copy a log that is longer than LONGEST_LOG to `<log>.1` and empty it. For writers that cannot reopen their log.

    Lines written between the copy and the truncation are lost.
    """
    with contextlib.suppress(OSError):
        if log.stat().st_size > LONGEST_LOG:
            shutil.copyfile(log, older(log))
            os.truncate(log, 0)


def older(log: Path) -> Path:
    return log.with_name(f"{log.name}.1")
