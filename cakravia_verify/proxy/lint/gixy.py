"""The findings of gixy-next, a linter for security, if its program is installed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from cakravia_verify.foreign_text import one_line
from cakravia_verify.proxy.lint.model import LintFinding, Severity

LONGEST_RUN: Final = 30.0


def gixy_program() -> str | None:
    """Return the program beside this Python, else the one on PATH, else None."""
    beside = Path(sys.executable).with_name("gixy")
    return str(beside) if beside.is_file() else shutil.which("gixy")


def gixy_findings(program: str, name: str, *, text: str) -> Iterator[LintFinding]:
    """Yield what gixy finds in the file `name`; `text` is its input if `name` is -. They are notes and do not decide.

    If gixy fails, that is one note.
    """
    try:
        run = subprocess.run(
            [program, "--format", "json", name],
            input=text,
            capture_output=True,
            text=True,
            timeout=LONGEST_RUN,
            check=False,
        )
        if run.returncode not in (0, 1):
            raise ValueError(run.stderr or f"exit status {run.returncode}")
        rows = json.loads(run.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        yield _note("failed", name, found=f"gixy could not read it: {error}")
        return
    yield from (_as_note(row, name) for row in rows if isinstance(row, dict))


def _as_note(row: dict[str, Any], name: str) -> LintFinding:
    line = row.get("line")
    found = row.get("reason") or row.get("summary") or ""
    note = _note(
        str(row.get("plugin") or "finding"), str(row.get("file") or name), found=f"{row.get('severity', '')}: {found}"
    )
    reason, section = one_line(str(row.get("description") or "")), one_line(str(row.get("reference") or ""))
    return LintFinding(
        note.rule,
        note.severity,
        note.file,
        line=line if isinstance(line, int) else 0,
        found=note.found,
        reason=reason,
        remedy="read the page",
        section=section,
    )


def _note(rule: str, file: str, *, found: str) -> LintFinding:
    return LintFinding(
        f"gixy:{one_line(rule)}",
        Severity.NOTE,
        file,
        0,
        one_line(found),
        "gixy-next reports it",
        "read its message",
        "",
    )
