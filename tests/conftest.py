"""What all tests share."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.memory_stage import Stage

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


@pytest.fixture
def quick_folder() -> Iterator[Path]:
    """A folder in memory where there is one: hundreds of histories, each line synced, need no real disk."""
    memory = Path("/dev/shm")  # noqa: S108
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture
def stage(quick_folder: Path) -> Stage:
    """An empty site."""
    return Stage(quick_folder)


@pytest.fixture
def site_with_v1(stage: Stage) -> Stage:
    """A site where v1 serves users from blue."""
    stage.deploy("v1")
    return stage
