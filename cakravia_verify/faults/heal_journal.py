"""The journal of faults in a site's state: what heals each fault is on disk before the fault is injected."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import psutil

from cakravia_verify.errors import PlatformError
from cakravia_verify.faults.healing import HealStep, heal
from cakravia_verify.system.files import read_json, write_atomically
from cakravia_verify.system.processes import identity_of, is_surely_ended

FOLDER: Final = "faults"


class HealJournal:
    """The faults of one site that are not healed yet, one file each, below the state folder."""

    def __init__(self, state: Path) -> None:
        self.folder = state / FOLDER

    @contextmanager
    def healing(self, steps: Sequence[HealStep]) -> Iterator[None]:
        """Write the steps durably, then run the block, and carry out the steps at its end, last one first.

        Raises PlatformError if a step fails; the next command tries it again.
        """
        record = self.folder / f"{secrets.token_hex(6)}.json"
        rows = [step.as_json() for step in steps]
        write_atomically(record, json.dumps({"owner": identity_of(psutil.Process()), "steps": rows}).encode())
        try:
            yield
        finally:
            _heal_all(steps)
            record.unlink(missing_ok=True)
            # Commands look for the folder: without it there is nothing to heal.
            with suppress(OSError):
                self.folder.rmdir()


def heal_left(state: Path) -> list[str]:
    """Heal the faults whose session died. Returns one line for each step. Raises PlatformError if a step fails."""
    folder = state / FOLDER
    lines: list[str] = []
    for record in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        try:
            row = read_json(record)
            owner, steps = str(row["owner"]), [HealStep.from_json(each) for each in row["steps"]]
        except (OSError, ValueError, KeyError, TypeError):
            lines.append(f"{record} is no record of a fault; remove it")
            continue
        if is_surely_ended(owner):
            _heal_all(steps)
            record.unlink(missing_ok=True)
            lines += [f"healed a fault whose session died: {step}" for step in reversed(steps)]
    with suppress(OSError):
        folder.rmdir()
    return lines


def _heal_all(steps: Sequence[HealStep]) -> None:
    """Carry out every step, also after one that failed."""
    failed: list[str] = []
    for step in reversed(steps):
        try:
            heal(step)
        except (OSError, psutil.Error) as error:
            failed.append(f"{step}: {error}")
    if failed:
        raise PlatformError(
            f"a fault could not be healed: {'; '.join(failed)}", remedy="correct that, then run cakravia recover"
        )
