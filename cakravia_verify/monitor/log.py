"""The monitor's own log: one line per event, to standard output or to a file that may be rotated."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import Final

from cakravia_verify.errors import UsageError

LONGEST_LOG: Final = 20_000_000


def open_log(path: Path | None) -> Callable[[str], None]:
    """Return a function that writes lines. A file that was renamed is opened anew. Raises UsageError."""
    logger = logging.getLogger("cakravia.monitor")
    logger.setLevel(logging.INFO)
    # A full disk is told by an alert; it must not fill standard error as well.
    logging.raiseExceptions = False
    logger.propagate = False
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    logger.addHandler(_handler(path))
    return lambda line: logger.info("%s", line.rstrip())


class _BoundedFile(WatchedFileHandler):
    """A log file that logrotate may rename. When it is not rotated, it is renamed to `<log>.1` at 20 MB."""

    def emit(self, record: logging.LogRecord) -> None:
        super().emit(record)
        with contextlib.suppress(OSError):
            if Path(self.baseFilename).stat().st_size > LONGEST_LOG:
                Path(self.baseFilename).replace(f"{self.baseFilename}.1")


def _handler(path: Path | None) -> logging.Handler:
    if path is None:
        handler: logging.Handler = logging.StreamHandler(sys.stdout)
    else:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handler = _BoundedFile(path, encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise UsageError(
                f"the log {path} cannot be written: {error.strerror}", remedy="name another file with --log"
            ) from error
    formatter = logging.Formatter("%(asctime)sZ %(message)s", datefmt="%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    return handler
