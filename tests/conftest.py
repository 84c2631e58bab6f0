"""What all tests share."""

from __future__ import annotations

import gc
import os
import signal
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.memory_stage import Stage
from tests.tiers import (
    MARKS,
    Machine,
    Scheduling,
    fail_for_skipping,
    has_no_test_in_memory,
    mark_by_folder,
    must_not_skip,
    rank,
)

# A pipeline gives the same answer for the same commit; people at work get new examples in every run. How long one
# example takes says nothing on a machine that does other things as well.
settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")


MACHINE: pytest.StashKey[Machine] = pytest.StashKey()


def pytest_configure(config: pytest.Config) -> None:
    # Here and not in pyproject.toml, whose settings are those of an operator's releases as well.
    config.addinivalue_line("filterwarnings", "error")
    for name, meaning in MARKS.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")
    for number in (signal.SIGINT, signal.SIGHUP):
        # A shell without job control starts what runs in the background with SIGINT ignored, and nohup with SIGHUP: so
        # would be the sessions that tests send these to. A handler is not inherited, and ignores them here as well.
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)
    # Sessions that tests start are sessions of their own, and no workers of this run.
    for name in [each for each in os.environ if each.startswith("PYTEST_XDIST_")]:
        del os.environ[name]
    # Thousands of commands start during a run. Without files of bytecode each of them compiles all modules of ours.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    config.stash[MACHINE] = Machine(config)


def pytest_unconfigure(config: pytest.Config) -> None:
    gc.unfreeze()
    if not hasattr(config, "workerinput"):
        config.stash[MACHINE].forget()


def pytest_xdist_auto_num_workers() -> int:
    """Return two workers more than there are cores: releases mostly wait."""
    return (os.cpu_count() or 1) + 2


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    return Scheduling(config, log)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return True if config.option.markexpr == "memory" and has_no_test_in_memory(collection_path) else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        mark_by_folder(item)
    if "slow" not in config.option.markexpr and not os.environ.get("CAKRAVIA_TEST_SLOW"):
        slow = [item for item in items if item.get_closest_marker("slow")]
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if not item.get_closest_marker("slow")]
    items.sort(key=rank)


def pytest_collection_finish() -> None:
    # What was imported and collected stays to the end. The collector need not look at it again and again.
    gc.freeze()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    with item.config.stash[MACHINE].used(alone=item.get_closest_marker("quiet") is not None):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if must_not_skip() and report.skipped and not hasattr(report, "wasxfail"):
        fail_for_skipping(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if must_not_skip() and report.skipped:
        fail_for_skipping(report)
    return report


@pytest.fixture(scope="session")
def machine(pytestconfig: pytest.Config) -> Machine:
    """The machine as the tests of this run share it."""
    return pytestconfig.stash[MACHINE]


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
