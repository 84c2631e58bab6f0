"""What all tests share."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import settings

# A pipeline gives the same answer for the same commit; people at work get new examples in every run. How long one
# example takes says nothing on a machine that does other things as well.
settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")


def pytest_configure(config: pytest.Config) -> None:
    # Here and not in pyproject.toml, whose settings are those of an operator's releases as well.
    config.addinivalue_line("filterwarnings", "error")
    for number in (signal.SIGINT, signal.SIGHUP):
        # A shell without job control starts what runs in the background with SIGINT ignored, and nohup with SIGHUP: so
        # would be the sessions that tests send these to. A handler is not inherited, and ignores them here as well.
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)
    config.addinivalue_line("markers", "slow: breadth beside one that always runs (CAKRAVIA_TEST_SLOW=1 runs it too)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.option.markexpr or os.environ.get("CAKRAVIA_TEST_SLOW"):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if item not in slow]
