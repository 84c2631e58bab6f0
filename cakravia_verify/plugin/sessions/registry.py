"""The kinds of session that a suite can ask for, each with its fixtures and its required checks."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import pytest

from cakravia_verify.kinds import CHECK, DEPLOY, FAILOVER, LOAD, REGRESSION, ROLLBACK, SessionPolicy

if TYPE_CHECKING:
    from types import ModuleType

    from cakravia_verify.plugin.sessions.base import Session


@dataclass(frozen=True)
class SessionType:
    """One kind of session.

    `module` in plugin/sessions has the class `name`; `fixtures_module` is the file in plugin/fixtures. Only
    those of the present session are imported. `required` names its checks in the order of the session. A session in
    which one of them is missing is inconclusive, so a command line or a conftest.py cannot take one away.
    """

    policy: SessionPolicy
    module: str
    name: str
    fixtures_module: str
    required: tuple[str, ...]

    @property
    def session(self) -> type[Session[Any]]:
        """The class of the session."""
        found: type[Session[Any]] = getattr(import_module(f"cakravia_verify.plugin.sessions.{self.module}"), self.name)
        return found

    @property
    def fixtures(self) -> ModuleType:
        """The module with its fixtures."""
        return import_module(f"cakravia_verify.plugin.fixtures.{self.fixtures_module}")


SESSION_TYPES: Final = (
    SessionType(
        policy=DEPLOY,
        module="release",
        name="ReleaseSession",
        fixtures_module="release",
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
        module="release",
        name="ReleaseSession",
        fixtures_module="release",
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
        module="load",
        name="LoadSession",
        fixtures_module="load",
        required=(
            "test_site_bears_the_load_to_its_end",
            "test_no_request_was_lost_under_load",
            "test_nothing_was_switched",
        ),
    ),
    # Which suites are checked is the operator's choice; every check that they have counts.
    SessionType(policy=CHECK, module="checks", name="CheckSession", fixtures_module="checks", required=()),
    SessionType(policy=FAILOVER, module="failover", name="FailoverSession", fixtures_module="checks", required=()),
    SessionType(
        policy=REGRESSION,
        module="regression",
        name="RegressionSession",
        fixtures_module="regression",
        required=("test_no_figure_is_worse_than_in_earlier_nights",),
    ),
)


def session_type_of(kind: str) -> SessionType:
    """Return the kind of session that `pytest_cakravia_kind` named. Raises pytest.UsageError for an unknown name."""
    for session_type in SESSION_TYPES:
        if session_type.policy.name == kind:
            return session_type
    known = ", ".join(session_type.policy.name for session_type in SESSION_TYPES)
    raise pytest.UsageError(f"pytest_cakravia_kind returned {kind!r}; it must return one of: {known}")
