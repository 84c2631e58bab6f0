"""The text files of a project: bounded in number and size, without what tools and builds made."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

MOST_FILES: Final = 3000
MOST_BYTES: Final = 400_000
_LEFT_OUT: Final = frozenset({
    "node_modules", "__pycache__", "venv", "env", "dist", "build", "out", "target", "vendor", "coverage",
    "tests", "test", "__tests__", "spec", "migrations", "static", "reports", "suites", "tmp", "log",
})  # fmt: skip


def source_files(folder: Path, *, endings: tuple[str, ...]) -> Iterator[Path]:
    """Yield the files with one of these endings, in one order on every machine; hidden folders are left out."""
    count = 0
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _LEFT_OUT and not name.startswith("."))
        for name in sorted(files):
            if not name.endswith(endings):
                continue
            count += 1
            if count > MOST_FILES:
                return
            yield Path(place) / name


def text_of(path: Path) -> str:
    """Return the beginning of a file as text, "" if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(MOST_BYTES).decode("utf-8", errors="replace")
    except OSError:
        return ""


def first_of(folder: Path, *names: str) -> Path | None:
    """Return the first of these files that is in the folder."""
    return next((folder / name for name in names if (folder / name).is_file()), None)
