"""The duration of a rollback, estimated from the history."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from cakravia_verify.errors import JournalError
from cakravia_verify.history.releases import Record, records
from cakravia_verify.site.site import Site

UNTIL_USERS_ARE_BACK = ("build", "prepare", "stage", "prove", "smoke", "switch")
OF_A_COLD_START = ("stage", "prove")
# How many of the latest releases count.
RECENT = 10


@dataclass(frozen=True)
class Estimate:
    """The duration in seconds until users are back, and until the end. `basis` names the measured releases."""

    users_back: float
    whole: float
    basis: str


def estimate_of(site: Site, *, is_warm: bool) -> Estimate | None:
    """Return the medians of similar rollbacks, else of deploys without their build; None without any."""
    try:
        promoted = [record for record in records(site.journal.entries()) if record.holds_users and record.step_seconds]
    except JournalError:
        return None
    alike = [record for record in promoted if record.intent.policy.goes_back and record.intent.is_warm is is_warm]
    if alike:
        alike = alike[-RECENT:]
        basis = f"median of {len(alike)} {'warm' if is_warm else 'cold'} rollback{'s' if len(alike) > 1 else ''}"
        whole = statistics.median(record.seconds for record in alike)
        return Estimate(_users_back(alike, UNTIL_USERS_ARE_BACK), whole, basis)
    # A deploy has the same steps and a build. Its candidate always starts cold.
    cold = [record for record in promoted if not record.intent.is_warm and record.intent.active is not None]
    cold = (cold or [record for record in promoted if not record.intent.is_warm])[-RECENT:]
    if not cold:
        return None
    without = {"build", *(OF_A_COLD_START if is_warm else ())}
    steps = [step for step in UNTIL_USERS_ARE_BACK if step not in without]
    health = site.settings.health
    # A warm slot only needs its good rounds in a row.
    proving = (health.consecutive - 1) * health.interval if is_warm else 0.0
    users_back = _users_back(cold, steps) + proving
    after = statistics.median(
        record.seconds - sum(seconds for step, seconds in record.step_seconds if step in UNTIL_USERS_ARE_BACK)
        for record in cold
    )
    return Estimate(users_back, users_back + after, f"from {len(cold)} deploy{'s' if len(cold) > 1 else ''}")


def _users_back(alike: Sequence[Record], steps: Sequence[str]) -> float:
    return statistics.median(sum(seconds for step, seconds in record.step_seconds if step in steps) for record in alike)
