"""Users are sent to a slot in one place only, and answers confirm it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from cakravia_verify.errors import NotConfirmed
from cakravia_verify.release.direct_users import direct_users
from cakravia_verify.slots import Colour
from cakravia_verify.system.clock import Deadline
from cakravia_verify.testing.memory import running_slot
from tests.memory_stage import Stage

PACKAGE = Path(__file__).parents[2] / "cakravia_verify"
# A proxy may call itself; the memory site and the faults are no release.
EXEMPT = ("faults", "platforms", "proxy", "testing")
ROUTES = {"point_at", "start"}


def routing_calls(path: Path) -> Iterator[str]:
    """Every mention of `….proxy.point_at`, `….proxy.start` or of the same on a variable `proxy`."""
    source = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)) if any(f".{name}" in source for name in ROUTES) else ():
        if isinstance(node, ast.Attribute) and node.attr in ROUTES:
            owner = node.value
            name = owner.attr if isinstance(owner, ast.Attribute) else owner.id if isinstance(owner, ast.Name) else ""
            if node.attr == "point_at" or name.lstrip("_") == "proxy":
                yield f"{path.relative_to(PACKAGE)}, line {node.lineno}: {node.attr}"


def test_only_direct_users_routes_requests_to_a_slot() -> None:
    calls = [
        call
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.relative_to(PACKAGE).parts[0] not in EXEMPT
        for call in routing_calls(path)
    ]
    assert [call.split(",")[0] for call in calls] == ["release/direct_users.py"] * 2


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Blue runs v1, green runs v2, and the proxy sends users to blue."""
    stage = Stage(tmp_path)
    stage.memory.running = {
        Colour.BLUE: running_slot(Colour.BLUE, "v1"),
        Colour.GREEN: running_slot(Colour.GREEN, "v2"),
    }
    stage.memory.proxy_runs = True
    return stage


def send_to_green(stage: Stage, *, confirmations: int = 3) -> None:
    deadline = Deadline("users reach green", 15.0, clock=stage.clock)
    green = stage.memory.running[Colour.GREEN]
    direct_users(stage.site, green, confirmations=confirmations, deadline=deadline)


def test_running_proxy_is_pointed_at_the_slot(stage: Stage) -> None:
    send_to_green(stage)
    assert stage.memory.acted == ["point_at green"]


def test_proxy_that_is_down_is_started_on_the_slot(stage: Stage) -> None:
    stage.memory.proxy_runs = False
    send_to_green(stage)
    assert stage.memory.acted == ["start_proxy green"]


def test_answers_of_the_other_slot_do_not_confirm(stage: Stage) -> None:
    stage.memory.stuck_on = Colour.BLUE
    with pytest.raises(NotConfirmed, match="blue v1 answers"):
        send_to_green(stage)


def test_interrupted_switch_is_sent_again_if_the_proxy_names_the_slot(stage: Stage) -> None:
    stage.memory.chosen = Colour.GREEN
    send_to_green(stage)
    assert stage.memory.acted == ["point_at green"]
