"""This run's part of logs that other runs wrote to as well."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path


class LogCuts:
    """Where each log ended when a run began, so that what it adds can be copied."""

    def __init__(self) -> None:
        self._offsets: dict[Path, int] = {}

    def remember(self, *logs: Path | None) -> None:
        """What the logs hold by now belongs to others."""
        for path in logs:
            if path is not None:
                with contextlib.suppress(OSError):
                    self._offsets[path] = path.stat().st_size

    def copy(self, source: Path | None, target: Path) -> Path | None:
        """`target` holds what was added since; None where there is no such log. A log that shrank is taken whole."""
        if source is None or not source.exists():
            return None
        with source.open("rb") as whole, target.open("wb") as part:
            start = self._offsets.get(source, 0)
            whole.seek(start if start <= source.stat().st_size else 0)
            shutil.copyfileobj(whole, part)
        return target
