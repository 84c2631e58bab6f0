"""The programs of hooks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

from cakravia_verify.checks.model import CheckFinding, Ground, SiteCheck, ok, problem
from cakravia_verify.settings.hooks import HookPlace


def _find(ground: Ground) -> Iterator[CheckFinding]:
    root, path = ground.settings.root, ground.machine.environment.get("PATH")
    for hook in ground.settings.hooks:
        program = hook.command[0]
        # A hook of the candidate runs as its version does: what the version brings is only known with the version.
        is_ours = hook.where is HookPlace.MACHINE and "{" not in program
        is_file = os.access(root / program, os.X_OK) if "/" in program else False
        if is_ours and not is_file and not ground.machine.program(program, path=path):
            yield problem(
                f"[[hooks]] {hook.title}: {program!r} is not a program on this machine",
                needed="the first word of its command is a program",
                remedy="correct the command, or install the program",
            )
    if ground.settings.hooks:
        yield ok(f"{len(ground.settings.hooks)} hooks")


CHECK: Final = SiteCheck(
    "hooks", "The programs of hooks are here", _find, applies=lambda settings: bool(settings.hooks)
)
