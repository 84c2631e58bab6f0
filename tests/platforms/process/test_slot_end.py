"""How a slot ends: the server behind a wrapper is told, once, and has its grace."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable

import pytest

from cakravia_verify.platforms.process.slots import ProcessPlatform
from cakravia_verify.settings.models import Settings
from cakravia_verify.slots import Colour, Slot
from cakravia_verify.system.clock import poll
from tests.platforms.process.conftest import deadline
from tests.platforms.process.test_process_platform import pid_of, with_app

Ask = Callable[[Slot, str], str]
SERVER = f"{sys.executable} tiny_app.py {{version}}"
PYTHON_WRAPPER = "import subprocess, sys; subprocess.run([sys.executable, 'tiny_app.py', '{version}'])"
PASSES_ON = """
import signal, subprocess, sys
child = subprocess.Popen([sys.executable, "tiny_app.py", "{version}"])
signal.signal(signal.SIGTERM, lambda *_: child.terminate())
child.wait()
"""


def stopped_log(settings: Settings, ask: Ask, *, command: tuple[str, ...], grace: float = 5.0) -> list[str]:
    """What the server wrote about its end, when the slot with this command was stopped."""
    wrapped = ProcessPlatform(with_app(settings, command=command, environment={"TELLS_ITS_END": "1"}, grace=grace))
    slot = wrapped.start(Colour.BLUE, wrapped.build("v1", deadline=deadline()), release="r1", deadline=deadline())
    ask(slot, "/")
    wrapped.stop(Colour.BLUE, deadline=deadline())
    assert wrapped.observe(Colour.BLUE) is None
    wrapped.check()
    return [line for line in wrapped.logs(Colour.BLUE, lines=20).splitlines() if "end" in line]


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(("sh", "-c", f"{SERVER}; true"), id="sh"),
        pytest.param(("sh", "-c", f"sh -c '{SERVER}; true'; true"), id="sh in sh"),
        pytest.param(("{python}", "-c", PYTHON_WRAPPER), id="python"),
        pytest.param(("{python}", "-c", PASSES_ON), id="passes the signal on"),
        pytest.param(("sh", "-c", f"setsid {SERVER} & wait"), id="setsid"),
    ],
)
def test_sigterm_reaches_the_server_behind_a_wrapper_once(
    settings: Settings, platform: ProcessPlatform, ask: Ask, command: tuple[str, ...]
) -> None:
    assert stopped_log(settings, ask, command=command) == ["told to end", "ended"]


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
@pytest.mark.parametrize("tail", ["", "; true"])
def test_sigterm_reaches_the_server_behind_npm_start_once(
    settings: Settings, platform: ProcessPlatform, ask: Ask, tail: str
) -> None:
    package = {"name": "shop", "version": "1.0.0", "scripts": {"start": f"{sys.executable} tiny_app.py v1{tail}"}}
    (settings.root / "source" / "package.json").write_text(json.dumps(package))
    lines = stopped_log(settings, ask, command=("npm", "start", "--no-update-notifier"))
    assert [line for line in lines if line in ("told to end", "ended")] == ["told to end", "ended"]


def test_a_wrapper_that_keeps_sigterm_to_itself_does_not_keep_it_for_ever(
    settings: Settings, platform: ProcessPlatform, ask: Ask
) -> None:
    command = ("sh", "-c", f"trap true TERM; {SERVER} & wait; wait")
    assert stopped_log(settings, ask, command=command, grace=2.0) == ["told to end", "ended"]


def test_a_server_whose_wrapper_was_killed_is_told_before_the_next_start(
    settings: Settings, platform: ProcessPlatform, ask: Ask
) -> None:
    wrapped = ProcessPlatform(
        with_app(settings, command=("sh", "-c", f"{SERVER}; true"), environment={"TELLS_ITS_END": "1"})
    )
    artifact = wrapped.build("v1", deadline=deadline())
    slot = wrapped.start(Colour.BLUE, artifact, release="r1", deadline=deadline())
    ask(slot, "/")
    os.kill(pid_of(slot), signal.SIGKILL)
    poll(lambda: wrapped.observe(Colour.BLUE) is None, deadline=deadline(), every=0.01)
    wrapped.start(Colour.BLUE, artifact, release="r2", deadline=deadline())
    assert "told to end\nended" in wrapped.logs(Colour.BLUE, lines=20)
    wrapped.stop(Colour.BLUE, deadline=deadline())
