"""Text from outside (applications, proxies, engines, files): bounded where it enters, harmless where it is shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

LONGEST_NAME: Final = 100
LONGEST_LINE: Final = 300
LONGEST_TEXT: Final = 8_192
# CI systems read such lines as commands: GitHub, Gitea and Forgejo at the beginning, Azure and TeamCity anywhere.
_AT_THE_BEGINNING: Final = re.compile(r"^(\s*::)", re.MULTILINE)
_COLOURS: Final = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_ANYWHERE: Final = re.compile(r"##(?=\[|vso\[|teamcity\[)", re.IGNORECASE)


def one_line(text: str, *, longest: int = LONGEST_LINE) -> str:
    """Return the text as one line of printable characters. The end of a longer text is left out."""
    line = "".join(letter for letter in " ".join(text[: 4 * longest].split()) if letter.isprintable())
    is_whole = len(line) <= longest and len(text) <= 4 * longest
    return line if is_whole else f"{line[: longest - 3]}..."


def shortened(text: str, *, longest: int = LONGEST_TEXT) -> str:
    """Return the beginning of a text, and how much is left out if it is longer."""
    return text if len(text) <= longest else f"{text[:longest]}... ({len(text) - longest:,} more characters left out)"


def harmless(text: str, *, longest: int = LONGEST_TEXT) -> str:
    """Return lines for a terminal or a CI log: bounded, without control characters and commands of CI systems."""
    plain = _COLOURS.sub("", shortened(text, longest=longest))
    clean = "".join(letter if letter.isprintable() or letter in "\n\t" else " " for letter in plain)
    return _ANYWHERE.sub("# #", _AT_THE_BEGINNING.sub(r"| \1", clean))


def bounded(value: Any) -> Any:
    """Return a value of JSON with each of its texts shortened."""
    if isinstance(value, str):
        return shortened(value)
    if isinstance(value, Mapping):
        return {name: bounded(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [bounded(each) for each in value]
    return value
