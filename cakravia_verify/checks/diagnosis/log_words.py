"""What known lines in the log of an application mean."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

LONGEST_LINE: Final = 200


@dataclass(frozen=True)
class LogMeaning:
    """A pattern of a log's line, what it means, and what to do."""

    pattern: re.Pattern[str]
    what: str
    remedy: str


def _meaning(pattern: str, what: str, remedy: str) -> LogMeaning:
    return LogMeaning(re.compile(pattern, re.IGNORECASE), what, remedy)


# The first that fits a line counts. Precise meanings come before general ones.
MEANINGS: Final = (
    _meaning(
        r"EADDRINUSE|address (is )?already in use",
        "the application's port is taken",
        "let the application listen on the port of the variable PORT, and stop what else has that port",
    ),
    _meaning(
        r"heap out of memory|MemoryError|OutOfMemory|Cannot allocate memory|exceeded .*memory|memory_limit",
        "the application needs more memory than it may have",
        "raise [slots] memory_limit, or correct the leak",
    ),
    _meaning(
        r"ENOSPC|no space left on device",
        "the disk is full",
        "free space; cakravia doctor shows the disks",
    ),
    _meaning(
        r"EROFS|read-only file system",
        "the application writes where it may not",
        "name the folder in [docker] writable or tmpfs",
    ),
    _meaning(
        r"password authentication failed|access denied for user|authentication failed|NOAUTH",
        "a service that the application needs refuses its password",
        "correct the password in [app] env_file, environment or [docker] secrets",
    ),
    _meaning(
        r"ECONNREFUSED|connection refused|could not connect to (server|the server)|ENOTFOUND|"
        r"name or service not known|getaddrinfo|no route to host",
        "a service that the application needs cannot be reached",
        "start that service, or correct its address in [app] environment or env_file",
    ),
    _meaning(
        r"cannot find module|ModuleNotFoundError|no module named|ClassNotFoundException|cannot load such file",
        "a package of the application is missing",
        "install its packages in [app] build, or in the image",
    ),
    _meaning(
        r"(missing|required|undefined).{0,30}(env|variable|setting|secret)|KeyError: '[A-Z_]+'",
        "a variable of the application is missing",
        "name it in [app] environment, pass_environment or env_file, or in [docker] secrets",
    ),
    _meaning(
        r"EACCES|permission denied|operation not permitted",
        "the application lacks a permission",
        "correct the owner or the mode of the file that the line names",
    ),
    _meaning(
        r"relation .* does not exist|no such table|unknown column|UndefinedTable|pending migration",
        "the data has another shape than this version expects",
        "run the migration before the switch: [[hooks]] with kind = \"migration\"",
    ),
    _meaning(
        r"SyntaxError|IndentationError|Unexpected token|exec format error|bad interpreter|not found$",
        "the version cannot be run",
        "correct the version, or the command in [app] command",
    ),
)  # fmt: skip


def meanings_in(log: str) -> Iterator[tuple[LogMeaning, str]]:
    """Yield each meaning that a line of the log has, newest first and once each, with that line."""
    seen: set[str] = set()
    for line in reversed(log.splitlines()):
        for meaning in MEANINGS:
            if meaning.pattern.search(line):
                if meaning.what not in seen:
                    seen.add(meaning.what)
                    yield meaning, " ".join(line.split())[:LONGEST_LINE]
                break
