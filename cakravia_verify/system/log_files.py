"""This run's part of logs that other runs wrote to as well, and logs kept within bounds."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import Final

from cakravia_verify.errors import TrafficError

# Bytes. Longer ones are emptied or set aside where a run begins, and by `cakravia up` and `cakravia recover`.
LONGEST_LOG: Final = 64 * 2**20


class LogCuts:
    """Where each log ended when a run began, so that what it adds can be copied."""

    def __init__(self) -> None:
        self._offsets: dict[Path, int] = {}
        self._sizes: dict[Path, int] = {}

    def remember(self, *logs: Path | None) -> None:
        """What the logs hold by now belongs to others."""
        for path in logs:
            if path is not None:
                with contextlib.suppress(OSError):
                    self._offsets[path] = path.stat().st_size

    def require_growth(self, *logs: Path) -> None:
        """Logs of requests only grow while a run lasts. Raises TrafficError for one that lost what it held."""
        for path in logs:
            try:
                size = path.stat().st_size
            except OSError:
                size = -1
            if size < self._sizes.get(path, -1):
                raise TrafficError(
                    f"{path} was {'removed' if size < 0 else 'cut'} while the release ran: "
                    "what it held is not evidence any more",
                    remedy="keep log rotation and people away from it while a release runs",
                )
            self._sizes[path] = size

    def copy(self, source: Path | None, target: Path) -> Path | None:
        """`target` holds what was added since; None where there is no such log. A log that shrank is taken whole."""
        if source is None or not source.exists():
            return None
        with source.open("rb") as whole, target.open("wb") as part:
            start = self._offsets.get(source, 0)
            whole.seek(start if start <= source.stat().st_size else 0)
            shutil.copyfileobj(whole, part)
        return target

    def copy_written(self, source: Path | None, target: Path) -> Path | None:
        """As `copy`, and None too where nothing was added: then nobody keeps such a log."""
        copied = self.copy(source, target)
        if copied is not None and not copied.stat().st_size:
            copied.unlink()
            return None
        return copied


def empty_long(log: Path) -> None:
    """A log that outgrew its bound is empty. Whoever appends to it goes on doing so (O_APPEND), from its start."""
    with contextlib.suppress(OSError):
        if log.stat().st_size > LONGEST_LOG:
            os.truncate(log, 0)


def set_long_aside(log: Path) -> bool:
    """A log that outgrew its bound has the name `<log>.1`, an earlier one of that name is gone; True where it was so.

    Whoever writes it goes on writing to that file until told to open the log anew.
    """
    try:
        if log.stat().st_size <= LONGEST_LOG:
            return False
        log.replace(older(log))
    except OSError:
        return False
    return True


def keep_long_twice(log: Path) -> None:
    """A log that outgrew its bound is empty and `<log>.1` holds what it held: for a writer that cannot be told to open
    it anew. What is written between the copy and the cut is lost."""
    with contextlib.suppress(OSError):
        if log.stat().st_size > LONGEST_LOG:
            shutil.copyfile(log, older(log))
            os.truncate(log, 0)


def older(log: Path) -> Path:
    return log.with_name(f"{log.name}.1")
