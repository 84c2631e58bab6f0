"""The kinds of session that a suite can ask for, each with its fixtures and its required checks."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

import pytest

from cakravia_verify.kinds import CHECK, DEPLOY, LOAD, ROLLBACK, SessionPolicy
from cakravia_verify.plugin.fixtures import checks as check_fixtures
from cakravia_verify.plugin.fixtures import load as load_fixtures
from cakravia_verify.plugin.fixtures import release as release_fixtures
from cakravia_verify.plugin.sessions.base import Session
from cakravia_verify.plugin.sessions.checks import CheckSession
from cakravia_verify.plugin.sessions.load import LoadSession
from cakravia_verify.plugin.sessions.release import ReleaseSession


@dataclass(frozen=True)
class SessionType:
    """One kind of session.

    `required` names its checks in the order of the session. A session in which one of them is missing is inconclusive,
    so a command line or a conftest.py cannot take one away.
    """

    policy: SessionPolicy
    session: type[Session[Any]]
    fixtures: ModuleType
    required: tuple[str, ...]


SESSION_TYPES: Final = (
    SessionType(
        policy=DEPLOY,
        session=ReleaseSession,
        fixtures=release_fixtures,
        required=(
            "test_candidate_is_staged_in_the_idle_slot",
            "test_users_stay_on_the_active_slot_while_the_candidate_warms_up",
            "test_candidate_answers_before_any_user_reaches_it",
            "test_switchover_brings_users_to_the_candidate",
            "test_old_slot_drained",
            "test_candidate_keeps_within_budget_through_the_bake",
            "test_no_request_was_lost",
        ),
    ),
    SessionType(
        policy=ROLLBACK,
        session=ReleaseSession,
        fixtures=release_fixtures,
        required=(
            "test_target_is_healthy_before_users_return",
            "test_users_stay_where_they_are_until_then",
            "test_users_are_back_on_the_target",
            "test_target_keeps_within_budget_through_the_bake",
            "test_no_request_was_lost_going_back",
        ),
    ),
    SessionType(
        policy=LOAD,
        session=LoadSession,
        fixtures=load_fixtures,
        required=(
            "test_site_bears_the_load_to_its_end",
            "test_no_request_was_lost_under_load",
            "test_nothing_was_switched",
        ),
    ),
    # Which suites are checked is the operator's choice; every check that they have counts.
    SessionType(policy=CHECK, session=CheckSession, fixtures=check_fixtures, required=()),
)


def session_type_of(kind: str) -> SessionType:
    """Return the kind of session that `pytest_cakravia_kind` named. Raises pytest.UsageError for an unknown name."""
    for session_type in SESSION_TYPES:
        if session_type.policy.name == kind:
            return session_type
    known = ", ".join(session_type.policy.name for session_type in SESSION_TYPES)
    raise pytest.UsageError(f"pytest_cakravia_kind returned {kind!r}; it must return one of: {known}")
