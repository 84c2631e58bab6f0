"""The suites perform what they test, so they never run without the plugin that judges them."""

from __future__ import annotations

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Without the plugin, pytest would take --version for its own and exit 0, having released nothing."""
    if not config.pluginmanager.hasplugin("cakravia"):
        raise pytest.UsageError("the suites need the cakravia plugin: run them without -p no:cakravia")
