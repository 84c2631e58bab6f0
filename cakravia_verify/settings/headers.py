"""Headers of our requests. A value may take a text from a file: `Authorization = "Bearer {file:secrets/token}"`.

The file is read when a request is made. So its text is in no plan, report, argument or environment.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from cakravia_verify.errors import SettingsError

_FILE = re.compile(r"\{file:([^{}]+)\}")
# The client writes these itself: the ledger knows a request by the first, and the others frame its body.
RESERVED = frozenset({"x-request-id", "content-length", "transfer-encoding"})


def checked_names(headers: dict[str, str]) -> dict[str, str]:
    """Return the headers if each may be set, and once only. Raises ValueError with the name."""
    names = [name.lower() for name in headers]
    for name in headers:
        if name.lower() in RESERVED:
            raise ValueError(f"the client itself writes {name}: leave it out")
        if names.count(name.lower()) > 1:
            raise ValueError(f"two headers are {name}: upper and lower case are the same")
    return headers


def from_root(value: str, root: Path) -> str:
    """Return a header's value with the paths of its files made absolute, from the folder of cakravia.toml."""
    return _FILE.sub(lambda found: f"{{file:{root / found[1]}}}", value)


def with_files(value: str) -> str:
    """Return a header's value with the text of its files, without white space around it.

    Raises SettingsError if a file cannot be read, or holds what no header can.
    """
    return _FILE.sub(lambda found: _text_of(Path(found[1])), value)


def file_texts(value: str) -> tuple[str, ...]:
    """Return the texts that a header's value takes from files. Raises SettingsError."""
    return tuple(_text_of(Path(path)) for path in _FILE.findall(value))


def merged(*tables: Iterable[tuple[str, str]] | Mapping[str, str]) -> dict[str, str]:
    """Return the headers of all tables. A later one replaces an earlier one of its name, in upper or lower case."""
    found: dict[str, tuple[str, str]] = {}
    for table in tables:
        for name, value in table.items() if isinstance(table, Mapping) else table:
            found[name.lower()] = (name, value)
    return dict(found.values())


def _text_of(path: Path) -> str:
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no plain ASCII text"
        raise SettingsError(
            f"the header's file {path} cannot be read: {why}",
            remedy="a header is one line of ASCII text; its path starts from the folder of cakravia.toml",
        ) from None
    if not text or not text.isprintable():
        raise SettingsError(f"the header's file {path} is not one line of text", remedy="write one line into it")
    return text
