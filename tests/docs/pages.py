"""The pages of the documentation, and what stands in their fenced blocks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
# The changelog speaks of what was: it may name files that are gone.
FOLDERS = ("docs", "benchmarks", "examples")
FOUND = {*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md"))}
PAGES = sorted(FOUND - {ROOT / "CHANGELOG.md"})


@dataclass(frozen=True)
class Block:
    """A fenced block. `info` is what stands behind its fence, such as `sh` or `sh docker`."""

    page: Path
    line: int
    info: str
    text: str


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    """Return every fenced block of the page, in order."""
    text = page.read_text(encoding="utf-8")
    found = re.finditer(r"^```(.*)\n((?:.*\n)*?)```$", text, re.MULTILINE)
    return [Block(page, text.count("\n", 0, one.start()) + 2, one[1], one[2]) for one in found]


def prose(page: Path) -> str:
    """Return the page without its fenced blocks."""
    return re.sub(r"^```.*\n(?:.*\n)*?```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE)


def script(page: Path, info: str) -> str:
    """Return the commands of all blocks of one kind, in order; each block names its line when it has run."""
    chosen = [block for block in blocks(page) if block.info == info]
    return "".join(f"{block.text}echo '=== ran {name_of(page)}:{block.line}'\n" for block in chosen)
