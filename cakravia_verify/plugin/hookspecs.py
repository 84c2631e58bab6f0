"""The hooks that suites and operators may implement: the public contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cakravia_verify.release.machine import Release, StepEvent
    from cakravia_verify.runs.session_run import Outcome


@pytest.hookspec(firstresult=True)
def pytest_cakravia_kind(config: pytest.Config) -> str | None:
    """What a session over this suite does: `deploy`, `rollback` or `load`. Implemented by the suite's conftest.py."""


@pytest.hookspec
def pytest_cakravia_step(config: pytest.Config, event: StepEvent) -> None:
    """A step of the release began, was done, failed or was undone. Observers cannot change the release."""


@pytest.hookspec
def pytest_cakravia_gate(config: pytest.Config, release: Release) -> str | None:
    """An operator's own gate check, asked before the verdict: a text objects to promotion, None does not."""


@pytest.hookspec
def pytest_cakravia_outcome(config: pytest.Config, outcome: Outcome) -> None:
    """The run ended: promoted, rolled back or inconclusive, and everything is written."""
