"""A release of a site with a rare kind of request, started under a umask that permits everything."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plugin.sessions.shop import Shop

RARE = """
[[traffic.mix]]
name = "rare"
path = "/"
weight = 0.0001
"""


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    made = Shop(tmp_path_factory.mktemp("site"))
    made.settings.write_text(made.settings.read_text() + RARE)
    before = os.umask(0)
    try:
        ended = made.deploy("v1.0.0", "--set", "budget.min_each=5")
    finally:
        os.umask(before)
    assert ended.status == 0, ended.output
    yield made
    assert made.tear_down() == []


def test_a_kind_of_request_with_hardly_any_weight_is_covered(released: Shop) -> None:
    answers = released.verdict()["evidence"]["measured"]["answers_each"]
    assert set(answers) == {"page", "order", "echo", "download", "rare"}
    assert min(answers.values()) >= 5
    (check,) = [each for each in released.verdict()["checks"] if each["name"] == "coverage"]
    assert (check["standing"], check["threshold"]) == ("passed", ">= 5 each")


def test_no_other_user_of_the_machine_can_reach_the_state(released: Shop) -> None:
    state = released.folder / ".cakravia"
    folders = [state, *(each for each in (state / "nginx", state / "slots", state / "nginx" / "flags", state / "data"))]
    assert {mode(each) for each in folders} == {0o700}
    files = [state / "deployment-history.log", state / "lock", *state.glob("slots/*/app.log")]
    assert len(files) == 3
    assert {mode(each) for each in files} == {0o600}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
