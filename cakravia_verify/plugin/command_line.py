"""What the command line asks for: a suite of ours or a run that is none of our business, and which version.

pytest knows `--version` as a flag of its own. `--version v1.2.0` reaches this plugin in time to be respelled.
pytest's parser refuses `--version=v1.2.0` with exit status 4 before it loads any plugin.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from cakravia_verify.errors import UsageError

# A suite's conftest.py names the kind of session, or imports our public names.
_OURS: Final = re.compile(r"^[^#\n]*(pytest_cakravia_kind|cakravia_verify\.api)", re.MULTILINE)


def names_suite(arguments: Iterable[str], *, folder: Path) -> bool:
    """Return whether an argument, or the working directory `folder`, lies in a suite of ours."""
    places = [folder, *(folder / argument.partition("::")[0] for argument in arguments)]
    return any(_OURS.search(text) for text in _conftests_of(places))


def _conftests_of(places: Iterable[Path]) -> Iterator[str]:
    """Yield the text of each conftest.py that pytest reads for one of these places."""
    folders: set[Path] = set()
    for place in places:
        try:
            if not place.exists():
                continue
            path = place.resolve()
        except (OSError, ValueError):  # an option's value that no path can be
            continue
        folders |= {path, *path.parents}
    for folder in folders:
        try:
            yield (folder / "conftest.py").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue


def respelled(arguments: list[str]) -> list[str]:
    """Return the arguments with `--version X` as `--release X`.

    Raises UsageError if `--version` names no version.
    """
    result: list[str] = []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument != "--version":
            result.append(argument)
        elif _is_value(rest):
            result += ["--release", rest.pop(0)]
        else:
            raise UsageError("--version names no version", remedy="write the version after it, as in --version v1.2.0")
    return result


def names_version(arguments: list[str]) -> bool:
    """Return whether `--version` is followed by a version: it is not meant as pytest's own flag."""
    places = [number for number, argument in enumerate(arguments, 1) if argument == "--version"]
    return any(_is_value(arguments[place:]) for place in places)


def _is_value(rest: list[str]) -> bool:
    return bool(rest) and not rest[0].startswith("-") and not _is_path(rest[0])


def _is_path(argument: str) -> bool:
    """Return whether an argument is a path to tests, not a version that happens to look like one."""
    path = argument.partition("::")[0]
    return ("/" in path or path.endswith(".py") or path == "suites") and Path(path).exists()
