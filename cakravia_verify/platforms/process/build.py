"""The build of a version: one command in the copy of the source, with a certain end and its whole output in a file."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from cakravia_verify.errors import DeadlineExceeded, PlatformError, UsageError
from cakravia_verify.system.clock import Deadline
from cakravia_verify.system.commands import end_told_processes
from cakravia_verify.system.files import make_folder

# Variables of the releaser's shell that a build gets and a slot does not: caches of tools, and the way out.
BUILD_VARIABLES: Final = (
    *("HOME", "USER", "LOGNAME", "http_proxy", "https_proxy", "no_proxy", "all_proxy"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"),
)
# Every process of a build has it in its environment, also one that left the process group.
MARK: Final = "CAKRAVIA_BUILD"
_SHOWN_FIRST, _SHOWN_LAST, _SHOWN_END, _LONGEST_LINE = 6, 4, 4, 300
_ERROR: Final = re.compile(
    r"\b(errors?|fatal|exception|traceback|failed|failure|panic|cannot|can't|unable|not found|no such|denied|missing"
    r"|\w+Error)\b|\bERR!",
    re.IGNORECASE,
)
_NO_ERROR: Final = re.compile(r"\b(0|no) (errors?|failures?|failed)\b", re.IGNORECASE)
_COLOURS: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def run_build(
    command: Sequence[str], folder: Path, *, version: str, environment: Mapping[str, str], log: Path, deadline: Deadline
) -> None:
    """Run the command in `folder`, and write all that it writes to `log`. Its process group ends with it.

    Raises PlatformError with the lines that hold the error, UsageError if the program is missing, DeadlineExceeded.
    """
    mark = secrets.token_hex(8)
    make_folder(log.parent)
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(
                list(command),
                cwd=folder,
                env={**environment, MARK: mark},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except (FileNotFoundError, PermissionError) as error:
            raise UsageError(
                f"[app] build: {command[0]!r} is not a program on this machine",
                remedy="correct [app] build, or install the program",
            ) from error
    try:
        status = process.wait(timeout=deadline.remaining)
    except subprocess.TimeoutExpired as error:
        _end(process, mark=mark)
        raise _stopped(deadline, log) from error
    except BaseException:
        _end(process, mark=mark)
        raise
    _end_group(process)
    if status != 0:
        why = f"status {status}" if status > 0 else f"signal {signal.Signals(-status).name}"
        raise PlatformError(
            f"the build of {version} failed with {why}:\n{telling_lines(_text(log))}",
            remedy="correct the build, then deploy again; users are where they were. The report has the whole output: "
            "build.log",
        )


def telling_lines(text: str) -> str:
    """Return the lines of a failed build that hold its error: the first and last that name one, and the end."""
    lines = [line.rstrip()[:_LONGEST_LINE] for line in _COLOURS.sub("", text).splitlines() if line.strip()]
    named = [number for number, line in enumerate(lines) if _ERROR.search(line) and not _NO_ERROR.search(line)]
    # What follows the first error explains it.
    chosen = {number + after for number in named[:_SHOWN_FIRST] for after in (0, 1)} | set(named[-_SHOWN_LAST:])
    chosen |= set(range(len(lines) - _SHOWN_END, len(lines)))
    shown: list[str] = []
    before = -1
    for number in sorted(number for number in chosen if 0 <= number < len(lines)):
        if number > before + 1:
            shown.append("...")
        shown.append(lines[number])
        before = number
    return "\n".join(shown) or "it wrote nothing"


def _stopped(deadline: Deadline, log: Path) -> DeadlineExceeded:
    return deadline.exceeded(
        f"the build was stopped; its last lines:\n{telling_lines(_text(log)[-4000:])}",
        remedy="increase [app] build_timeout",
    )


def _text(log: Path) -> str:
    with contextlib.suppress(OSError):
        return log.read_text(encoding="utf-8", errors="replace")
    return ""


def _end(process: subprocess.Popen[bytes], *, mark: str) -> None:
    """Kill the build, its process group, and what left the group."""
    _end_group(process)
    end_told_processes({MARK: mark})
    process.wait()


def _end_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
