"""What the journal says about the companions of releases."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cakravia_verify.history.journal_file import JournalEntry

COMPANIONS_INTENT: Final = "companions.intent"
COMPANIONS_DONE: Final = "companions.done"
COMPANIONS_RETURN: Final = "companions.return"
COMPANIONS_RETURNED: Final = "companions.returned"


@dataclass(frozen=True)
class PastCompanion:
    """A companion that ran before a release moved it."""

    name: str
    version: str
    digest: str


def companions_before(entries: Iterable[JournalEntry], release: str) -> tuple[PastCompanion, ...] | None:
    """Return what ran before the release moved the companions, None if it did not begin to move them.

    The first intent counts: a release that was killed may have begun twice.
    """
    for entry in entries:
        if entry.release == release and entry.event == COMPANIONS_INTENT:
            rows = entry.facts.get("before") or ()
            return tuple(PastCompanion(str(row["name"]), str(row["version"]), str(row["digest"])) for row in rows)
    return None
