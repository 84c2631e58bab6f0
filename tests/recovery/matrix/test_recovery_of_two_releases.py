"""Two releases at once: one runs, the other is told who does."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.plugin.sessions.shop import REPOSITORY
from tests.recovery.matrix.cells import Lane

ROUNDS = 50


@pytest.mark.slow
def test_of_two_that_open_a_site_at_the_same_instant_one_runs_and_one_is_told(lane: Lane) -> None:
    known = len(lane.shop.history())
    command = [sys.executable, str(Path(__file__).with_name("racing.py")), str(lane.shop.settings), str(ROUNDS)]
    raced = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=240, check=False)
    assert raced.returncode == 0, raced.stderr
    assert Counter(raced.stdout.splitlines()) == {"ran, told by name": ROUNDS}
    assert lane.shop.history()[known:] == []


def test_of_two_sessions_at_once_one_promotes_and_one_ends_with_12(lane: Lane) -> None:
    known = len(lane.shop.history())
    with ThreadPoolExecutor(2) as pool:
        version = next(each for each in ("v1.0.0", "v2.0.0") if each != lane.shop.serving())
        ended = list(pool.map(lambda _: lane.release("deploy", version), range(2)))
    assert sorted(each.status for each in ended) == [0, 12], [each.output for each in ended]
    told = next(each for each in ended if each.status == 12)
    assert "another release holds this site" in told.output
    assert not told.has_traceback
    started = [entry for entry in lane.shop.history()[known:] if entry["event"] == "release.started"]
    assert len(started) == 1
    assert lane.shop.serving() == version
