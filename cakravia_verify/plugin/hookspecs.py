"""The hooks that suites and operators may implement: the public contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cakravia_verify.plugin.snapshot import ReleaseSnapshot
    from cakravia_verify.release.machine import StepEvent
    from cakravia_verify.runs.session_run import SessionOutcome


@pytest.hookspec(firstresult=True)
def pytest_cakravia_kind(config: pytest.Config) -> str | None:
    """Return what kind of session this suite is: `deploy`, `rollback`, `load` or `check`.

    Implement it in the suite's conftest.py.
    """


@pytest.hookspec
def pytest_cakravia_step(config: pytest.Config, event: StepEvent) -> None:
    """Observe that a step of the release began, was done, failed or was undone."""


@pytest.hookspec
def pytest_cakravia_gate(config: pytest.Config, release: ReleaseSnapshot) -> str | None:
    """Return an objection to the promotion as text, or None. Called once, before the verdict."""


@pytest.hookspec
def pytest_cakravia_outcome(config: pytest.Config, outcome: SessionOutcome) -> None:
    """Observe how the run ended. Report and verdict are written."""
