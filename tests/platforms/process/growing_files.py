"""The table in docs/OPERATIONS.md of everything below the state folder."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "OPERATIONS.md"


def patterns() -> list[str]:
    """The first column, file by file."""
    section = PAGE.read_text(encoding="utf-8").partition("## What grows")[2]
    table = section.partition("| file |")[2].partition("\n\n")[0]
    return [pattern for row in table.splitlines() for pattern in re.findall(r"`([^`]+)`", row.split("|")[1:2][0])]


def unnamed(state: Path) -> list[str]:
    """Files below the folder that no row of the table names."""
    files = [path.relative_to(state).as_posix() for path in state.rglob("*") if path.is_file()]
    assert files
    return [file for file in files if not any(fnmatchcase(file, pattern) for pattern in patterns())]
