"""The kinds of session, and what each of them does differently: one frozen policy per kind.

Only this module knows the kinds by name. Other modules ask the policy, as in `intent.policy.goes_back`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

_PACKAGE: Final = Path(__file__).resolve().parent
# One folder for each suite: inside the installed package, and beside it in a checkout.
SUITES: Final = next(filter(Path.is_dir, (_PACKAGE / "suites", _PACKAGE.parent / "suites")), _PACKAGE / "suites")


@dataclass(frozen=True)
class SessionPolicy:
    """What one kind of session does differently from the others.

    name: how the journal, verdict.json and `pytest_cakravia_kind` name it.
    title: how reports name it.
    opening: the first words of a session, before the version.
    switches_users: users are sent to another slot; a load measures only.
    is_about_load: the verdict says whether the site bears a load; that on checks says whether the site is as it should.
    goes_back: the version was active before, and comes from the history instead of a build.
    needs_version: the command line must name the version.
    needs_traffic: the release stops when its traffic cannot be sent or followed.
    compares_slots: the candidate is compared with the slot before it.
    keeps_unproven_target: users stay on a healthy candidate when the gate does not say PROMOTE.
    keeps_old_slot_as_failover: the old slot may answer for the new one after the promotion.
    follows_stuck_release: it may begin when an earlier release can still not be undone.
    """

    name: str
    title: str
    opening: str
    switches_users: bool = True
    is_about_load: bool = False
    goes_back: bool = False
    needs_version: bool = False
    needs_traffic: bool = True
    compares_slots: bool = False
    keeps_unproven_target: bool = False
    keeps_old_slot_as_failover: bool = True
    follows_stuck_release: bool = False


DEPLOY: Final = SessionPolicy(
    name="deploy",
    title="Release",
    opening="Releasing",
    needs_version=True,
    compares_slots=True,
    follows_stuck_release=True,
)
ROLLBACK: Final = SessionPolicy(
    name="rollback",
    title="Rollback",
    opening="Rolling back to",
    goes_back=True,
    needs_traffic=False,
    keeps_unproven_target=True,
    keeps_old_slot_as_failover=False,
)
LOAD: Final = SessionPolicy(name="load", title="Load", opening="Loading", switches_users=False, is_about_load=True)
CHECK: Final = SessionPolicy(name="check", title="Check", opening="Checking", switches_users=False, needs_traffic=False)
FAILOVER: Final = SessionPolicy(
    name="failover", title="Failover", opening="Trying faults", switches_users=False, needs_traffic=False
)
REGRESSION: Final = SessionPolicy(
    name="regression", title="Regression", opening="Regression", switches_users=False, needs_traffic=False
)

_POLICIES: Final = {policy.name: policy for policy in (DEPLOY, ROLLBACK, LOAD, CHECK, FAILOVER, REGRESSION)}
# A history or a verdict of a later version may name a kind that is unknown here: it is read as a plain release.
_UNKNOWN: Final = SessionPolicy(name="", title="Release", opening="Releasing")


def policy_of(kind: str) -> SessionPolicy:
    """Return the policy of the kind with this name; the policy of a plain release for an unknown name."""
    return _POLICIES.get(kind) or replace(_UNKNOWN, name=kind)
