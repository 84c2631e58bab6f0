"""The folder that a build gets: what its `.dockerignore` leaves out, and what should be left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any


def ignored_patterns(context: Path) -> list[str]:
    """Return the patterns of the context's `.dockerignore`."""
    file = context / ".dockerignore"
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def notes_on_context(context: Path, written: Iterable[Path]) -> Iterator[str]:
    """Yield a note if the build gets files that each release writes: then no two builds of one source are alike."""
    from docker.utils.build import PatternMatcher

    matcher: Any = PatternMatcher(ignored_patterns(context))  # its stub names another type than it takes
    here = context.resolve()
    inside = [path.relative_to(here) for path in map(Path.resolve, written) if path.is_relative_to(here)]
    names = [str(path) for path in inside if not matcher.matches(str(path))]
    if names:
        yield (
            f"the build gets {', '.join(names)}, which each release changes: every build is another image, and has the "
            f"history in it; write {'them' if len(names) > 1 else 'it'} into {here.name}/.dockerignore"
        )
