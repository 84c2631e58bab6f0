"""How the reference application starts, and how it refuses to."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.examples.conftest import SlotProcess

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(
    "wrong",
    [
        {"PORT": "many"},
        {"PORT": "70000"},
        {"DEPLOYMENT_SLOT": "red"},
        {"APP_VERSION": "v1\r\nX-Evil: 1"},
        {"APP_VERSION": "v" * 1000},
        {"MEMORY_LIMIT": "plenty"},
        {"DRAIN_SECONDS": "-1"},
        {"OUTSIDE_API_URL": "ftp://example.org"},
    ],
)
def test_a_wrong_environment_is_named_and_nothing_started(
    serve: Callable[..., SlotProcess], wrong: dict[str, str]
) -> None:
    slot = serve(**wrong)
    assert slot.exit_status() == 2
    assert slot.output.startswith(f"reference_app: {next(iter(wrong))} is ")
    assert "Traceback" not in slot.output


def test_a_port_in_use_is_an_error_in_one_line(serve: Callable[..., SlotProcess]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        slot = serve(PORT=str(taken.getsockname()[1]))
        assert slot.exit_status() == 1
    assert "cannot listen at 127.0.0.1" in slot.output
    assert "Traceback" not in slot.output


def test_a_port_is_free_again_for_the_next_process(serve: Callable[..., SlotProcess]) -> None:
    first = serve().ready()
    port = str(first.address[1])
    first.client.get("/")
    first.send()
    first.exit_status()
    assert serve(PORT=port).ready().client.get("/").status_code == 200


def _check(port: int, *arguments: str) -> int:
    command = [sys.executable, "-m", "reference_app.check", *arguments]
    environment = {"PORT": str(port), "HOST": "0.0.0.0", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=EXAMPLES, env=environment, check=False, capture_output=True).returncode


@pytest.mark.parametrize("endpoint", [(), ("health",), ("live",)])
def test_the_container_check_accepts_a_healthy_slot(slot: SlotProcess, endpoint: tuple[str, ...]) -> None:
    assert _check(slot.address[1], *endpoint) == 0


def test_the_container_check_refuses_an_unready_slot(serve: Callable[..., SlotProcess]) -> None:
    slot = serve(MISBEHAVE="never-ready").listen()
    assert _check(slot.address[1]) == 1
    assert _check(slot.address[1], "live") == 0


def test_the_container_check_refuses_silence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert _check(port) == 1
