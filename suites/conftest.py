"""The suites perform what they test, so they never run without the plugin that judges them."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_cakravia_kind() -> str:
    """A session over all suites checks the site. A suite that does something else says so in its own conftest.py."""
    return "check"


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Without the plugin, pytest would take --version for its own and exit 0, having released nothing."""
    if not config.pluginmanager.hasplugin("cakravia"):
        raise pytest.UsageError("the suites need the cakravia plugin: run them without -p no:cakravia")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave the suites out of a run of the project's own tests: the plugin has its options only for a suite."""
    return None if hasattr(config.option, "cakravia_set") else True
