"""What hooks did, in the report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cakravia_verify.history.releases import HOLDING
from cakravia_verify.release.hooks import DECIDING
from cakravia_verify.release.machine import HookResult, Release

HOOK_LOG: Final = "hooks.log"


def hook_notices(release: Release, outcome: str) -> list[str]:
    """Return what the report must say about hooks: failed ones of a rollback, and migrations of a version that left."""
    notices = []
    for result in release.facts.hooks:
        if result.has_migrated and outcome not in HOLDING:
            notices.append(
                f"migration '{result.name}' of {release.intent.version} ran, and is not undone: "
                f"{release.intent.active_version or 'the next version'} must work with what it changed"
            )
        elif result.is_failed and release.intent.policy.goes_back and result.moment in DECIDING:
            notices.append(f"a rollback does not stop for a hook: {result.note}")
    return notices


def write_hook_log(folder: Path, results: Sequence[HookResult]) -> list[str]:
    """Write hooks.log into the report folder. Returns a line if that failed."""
    text = "".join(
        f"== {result.name} ({result.moment}): {result.note}\n{result.output.rstrip()}\n\n" for result in results
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / HOOK_LOG).write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        return [f"the output of the hooks could not be written to {folder / HOOK_LOG}: {error.strerror}"]
    return []
