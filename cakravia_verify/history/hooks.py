"""What the journal says about the hooks of releases."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cakravia_verify.history.journal_file import JournalEntry
from cakravia_verify.history.releases import HOLDING

HOOK_INTENT: Final = "hook.intent"
HOOK_DONE: Final = "hook.done"
HOOK_FAILED: Final = "hook.failed"
MIGRATION: Final = "migration"


@dataclass(frozen=True)
class HookRun:
    """One run of a hook. `digest` identifies its command; `seq` is the number of its last entry."""

    release: str
    moment: str
    name: str
    kind: str
    version: str
    digest: str
    at: str
    seq: int


def left_hooks(entries: Iterable[JournalEntry]) -> tuple[HookRun, ...]:
    """Return the hooks whose end is not in the journal: their release was killed."""
    running: dict[tuple[str, str, str], HookRun] = {}
    for entry in entries:
        if entry.event == HOOK_INTENT:
            run = _run_of(entry)
            running[run.release, run.moment, run.name] = run
        elif entry.event in (HOOK_DONE, HOOK_FAILED):
            run = _run_of(entry)
            running.pop((run.release, run.moment, run.name), None)
    return tuple(running.values())


def migrations(entries: Iterable[JournalEntry]) -> tuple[HookRun, ...]:
    """Return the migrations that ran to their end and harmed no user, oldest first."""
    done = (_run_of(entry) for entry in entries if entry.event == HOOK_DONE)
    return tuple(run for run in done if run.kind == MIGRATION)


def migration_of(entries: Iterable[JournalEntry], *, version: str, digest: str) -> HookRun | None:
    """Return the run of this command for this version, None if it has not run."""
    return next((run for run in migrations(entries) if (run.version, run.digest) == (version, digest)), None)


def migrations_since(entries: Iterable[JournalEntry], version: str) -> tuple[HookRun, ...]:
    """Return the migrations of other versions since this version became active last.

    If it never became active in this history, all migrations of other versions came after it.
    """
    since = 0
    for entry in (entries := tuple(entries)):
        is_end = entry.event == "release.finished" and entry.facts.get("outcome") in HOLDING
        if is_end and entry.facts.get("version") == version:
            since = entry.seq
    return tuple(run for run in migrations(entries) if run.seq > since and run.version != version)


def _run_of(entry: JournalEntry) -> HookRun:
    facts = {name: str(entry.facts.get(name) or "") for name in ("hook", "kind", "version", "command")}
    return HookRun(
        release=entry.release,
        moment=entry.step,
        name=facts["hook"],
        kind=facts["kind"],
        version=facts["version"],
        digest=facts["command"],
        at=entry.at,
        seq=entry.seq,
    )
