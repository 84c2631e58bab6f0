"""A traffic mix from an access log in nginx's combined format: one example of each kind of path, by frequency."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from cakravia_verify.errors import UsageError

MOST_KINDS: Final = 12
_LINE: Final = re.compile(r'^\S+ \S+ .*?\[[^\]]+\] "(?P<method>[A-Z]+) (?P<target>\S+)[^"]*" (?P<status>\d{3}) ')
# Parts of a path that differ from one object to the next: numbers, UUIDs, hashes, and long mixed names.
_ID: Final = re.compile(
    r"\d+|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{12,}|(?=\w*\d)(?=\w*[A-Za-z])[\w-]{16,}",
    re.IGNORECASE,
)
# A built file has another name in the next version, which need not have this one.
_BUILT: Final = re.compile(r"^/_next/|[.-][0-9a-zA-Z_]{8,}\.(js|css|mjs|map|woff2?)$")
_PATH: Final = re.compile(r"/[!-~]*")


def mix_from_log(path: Path, *, methods: Iterable[str] = ("GET",)) -> tuple[dict[str, Any], ...]:
    """Return the tables of a mix. Only requests with status 200 or 201 count; queries are left out.

    Raises UsageError if the file cannot be read, or has no line of that format.
    """
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return mix_of_lines(file, methods=frozenset(methods), source=str(path))
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}", remedy="name an access log that this user can read"
        ) from error


def mix_of_lines(lines: Iterable[str], *, methods: frozenset[str], source: str) -> tuple[dict[str, Any], ...]:
    """Return the tables of a mix from the lines of a log, the most frequent kind first."""
    kinds: Counter[tuple[str, str]] = Counter()
    examples: dict[tuple[str, str], Counter[tuple[str, int]]] = {}
    known = 0
    for line in lines:
        if not (found := _LINE.match(line)):
            continue
        known += 1
        target, status = found["target"].partition("?")[0], int(found["status"])
        if found["method"] not in methods or status not in (200, 201) or _BUILT.search(target):
            continue
        if not _PATH.fullmatch(target):
            continue
        kind = (found["method"], folded(target))
        kinds[kind] += 1
        examples.setdefault(kind, Counter())[target, status] += 1
    if not kinds:
        what = "no answered request of a page" if known else "no line in nginx's combined format"
        raise UsageError(f"{source} has {what}", remedy="name another access log, or leave the option out")
    least = kinds.most_common(MOST_KINDS)[-1][1]
    return tuple(
        _table(kind, examples[kind].most_common(1)[0][0], weight=round(count / least, 1))
        for kind, count in kinds.most_common(MOST_KINDS)
    )


def folded(path: str) -> str:
    """Return the path with `*` for each part that is an id."""
    return "/".join("*" if _ID.fullmatch(part) else part for part in path.split("/"))


def _table(kind: tuple[str, str], example: tuple[str, int], *, weight: float) -> dict[str, Any]:
    (method, name), (target, status) = kind, example
    table: dict[str, Any] = {"name": f"{method} {name}", "path": target, "weight": weight}
    if method != "GET":
        table |= {"method": method, "expect": [status]}
    return table
