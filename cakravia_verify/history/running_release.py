"""The process that runs a release, as its first journal entry names it."""

from __future__ import annotations

import contextlib
import socket

import psutil

from cakravia_verify.errors import JournalError, LockHeld
from cakravia_verify.history.journal import Journal
from cakravia_verify.history.releases import Record, unfinished
from cakravia_verify.system.processes import identity_of, process_named


def this_process() -> dict[str, str]:
    """Return process and host of this process, for the first entry of a release."""
    return {"process": identity_of(psutil.Process()), "host": socket.gethostname()}


def runs_still(record: Record) -> bool:
    """Return whether another process of this machine still runs this unfinished release."""
    if record.is_finished or record.host != socket.gethostname():
        return False
    return record.process != identity_of(psutil.Process()) and process_named(record.process) is not None


def require_ended(record: Record) -> None:
    """Raise LockHeld, with the process, if the release still runs."""
    if runs_still(record):
        pid = record.process.partition("@")[0]
        raise LockHeld(
            f"release {record.intent.release} ({record.intent.kind} {record.intent.version}) still runs: {record.who}, "
            f"process {pid} on {record.host}, since {record.at}; its lock is free: the lock file may have been removed",
            remedy=f"wait until it ends, or stop it: kill {pid}; the next command finishes or undoes its release",
        )


def highest_token(journal: Journal) -> int:
    """Return the highest fencing token in the journal.

    Raises LockHeld if another process still runs a release after its lock file was removed. Raises JournalError if
    the history cannot be read.
    """
    with contextlib.suppress(JournalError):  # an unreadable intent names no process
        for record in unfinished(journal.entries()):
            require_ended(record)
    return journal.highest_token()
