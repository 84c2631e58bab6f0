"""The history, and releases that were interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.checks.model import CheckFinding, Ground, SiteCheck, ok, problem
from cakravia_verify.history.releases import STUCK, flaw_of, unfinished
from cakravia_verify.history.running_release import runs_still


def _find(ground: Ground) -> Iterator[CheckFinding]:
    journal = ground.site.journal
    if flaw := flaw_of(journal):
        yield problem(
            f"the history is damaged: {flaw}",
            needed="a history that can be read from its first to its last line",
            remedy=f"keep a copy of {journal.path}, then put back a good copy of it",
        )
        return
    left = unfinished(journal.entries())
    if left and not runs_still(left[0]) and ground.site.lock.holder() is None:
        what = "could not be undone" if left[0].outcome == STUCK else "was interrupted"
        yield problem(
            f"release {left[0].intent.release} ({left[0].intent.version}) {what}",
            needed="a history in which every release is finished or undone",
            remedy="cakravia recover",
        )
        return
    number = sum(entry.event == "release.started" for entry in journal.entries())
    yield ok(f"{number} releases, all finished or undone" if number else "no release yet")


CHECK: Final = SiteCheck("history", "The history is whole", _find)
