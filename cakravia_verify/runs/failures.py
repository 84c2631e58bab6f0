"""Failures in words for the report, and the traceback of a programming error in the run's debug log."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from cakravia_verify.errors import CakraviaError

DEBUG_LOG: Final = "debug.log"
_LOGGER: Final = logging.getLogger("cakravia_verify.debug")
_FORMAT: Final = "%(asctime)s %(levelname)s %(message)s"


def describe(error: BaseException) -> str:
    """Return what went wrong, without a remedy."""
    return error.message if isinstance(error, CakraviaError) else f"{type(error).__name__}: {error}"


def describe_and_log(error: Exception, *, folder: Path) -> str:
    """Return what went wrong. A programming error also leaves its traceback in debug.log of the run's `folder`."""
    if isinstance(error, CakraviaError | OSError):
        return describe(error)
    log = folder / DEBUG_LOG
    try:
        _write_traceback(error, log)
    except OSError as trouble:
        return f"programming error: {describe(error)} ({DEBUG_LOG} could not be written: {trouble})"
    return f"programming error: {describe(error)} (traceback: {log})"


def _write_traceback(error: Exception, log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(log, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(logging.Formatter(_FORMAT))
    _LOGGER.addHandler(handler)
    try:
        _LOGGER.error("programming error", exc_info=error)
    finally:
        _LOGGER.removeHandler(handler)
        handler.close()
