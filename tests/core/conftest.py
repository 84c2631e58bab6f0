"""Sites in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.core.memory_stage import Stage


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
