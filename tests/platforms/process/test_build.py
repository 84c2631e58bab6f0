"""A build: what it is given, how its failure is told, and that it ends."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from cakravia_verify.errors import DeadlineExceeded, PlatformError, UsageError
from cakravia_verify.platforms.process.build import telling_lines
from cakravia_verify.platforms.process.slots import ProcessPlatform
from cakravia_verify.settings.models import Settings
from cakravia_verify.slots import Artifact
from cakravia_verify.system.clock import poll
from cakravia_verify.system.processes import has_ended
from tests.platforms.process.conftest import deadline
from tests.platforms.process.test_process_platform import with_app


def build(settings: Settings, script: str, *, seconds: float = 20, **shell: str) -> Artifact:
    environment = {"PATH": os.environ["PATH"], **shell}
    made = ProcessPlatform(with_app(settings, build=("sh", "-c", script)), environment=environment)
    return made.build("v1", deadline=deadline(seconds))


def log_of(settings: Settings) -> str:
    return (settings.state / "versions" / "build.log").read_text()


def test_a_build_gets_home_and_the_proxy_but_no_secret_of_the_shell(settings: Settings) -> None:
    build(settings, "env", HOME="/home/ci", https_proxy="http://proxy:3128", NO_PROXY="localhost", TOKEN="secret")
    seen = dict(line.partition("=")[::2] for line in log_of(settings).splitlines())
    assert (seen["HOME"], seen["https_proxy"], seen["NO_PROXY"]) == ("/home/ci", "http://proxy:3128", "localhost")
    assert "TOKEN" not in seen


def test_the_whole_output_of_a_build_is_kept_in_its_order(settings: Settings) -> None:
    build(settings, "seq 1 5000; echo warned >&2; echo done")
    assert log_of(settings).splitlines() == [*map(str, range(1, 5001)), "warned", "done"]


@pytest.mark.parametrize("stream", ["1", "2"])
def test_an_error_above_a_long_tail_on_the_other_stream_is_shown(settings: Settings, stream: str) -> None:
    other = "2" if stream == "1" else "1"
    script = f'echo "src/cart.ts(3,1): error TS2322: no string" >&{stream}; seq 1 200 >&{other}; exit 2'
    with pytest.raises(PlatformError, match=r"the build of v1 failed with status 2:") as caught:
        build(settings, script)
    assert "error TS2322: no string" in caught.value.message
    assert len(caught.value.message.splitlines()) < 20


def test_a_build_without_a_word_is_told_as_that(settings: Settings) -> None:
    with pytest.raises(PlatformError, match="it wrote nothing"):
        build(settings, "exit 3")


def test_a_build_that_is_killed_names_the_signal(settings: Settings) -> None:
    with pytest.raises(PlatformError, match="SIGKILL"):
        build(settings, "kill -9 $$")


@pytest.mark.parametrize(
    "script",
    [
        "sleep 300",
        "trap '' TERM; sleep 300 & sleep 300",
        "sleep 300 & echo $! > {pid}; wait",
        "setsid sleep 300 & echo $! > {pid}; sleep 300",
        "setsid sh -c 'trap \"\" TERM HUP; sleep 300' & echo $! > {pid}; sleep 300",
    ],
)
def test_a_build_ends_at_its_limit_whatever_it_started(settings: Settings, tmp_path: Path, script: str) -> None:
    pid = tmp_path / "pid"
    with pytest.raises(DeadlineExceeded, match="the build was stopped") as caught:
        build(settings, f"echo compiling; {script.format(pid=pid)}", seconds=1)
    assert "compiling" in caught.value.message
    if pid.exists():
        poll(lambda: _is_gone(int(pid.read_text())), deadline=deadline(), every=0.05)
    assert not [path for path in (settings.state / "versions").iterdir() if path.name.startswith(".draft")]


def _is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or has_ended(psutil.Process(pid))


def test_a_child_that_a_build_left_behind_does_not_hold_it_up_or_write_on(settings: Settings, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    artifact = build(settings, f"(while :; do date +%N > clock; done) & echo $! > {pid}; sleep 0.2")
    assert _is_gone(int(pid.read_text()))
    ProcessPlatform(settings).verify(artifact)


def test_a_build_whose_program_is_missing_is_a_usage_error(settings: Settings) -> None:
    missing = ProcessPlatform(with_app(settings, build=("no-such-compiler",)))
    with pytest.raises(UsageError, match="'no-such-compiler' is not a program"):
        missing.build("v1", deadline=deadline())


@pytest.mark.parametrize(
    ("output", "shown"),
    [
        ("a\nb\nModuleNotFoundError: No module named 'x'", "ModuleNotFoundError"),
        ("\x1b[31mERROR\x1b[0m in ./app.js\nCan't resolve 'react'\n" + "at x\n" * 50, "Can't resolve 'react'"),
        ("Failed to compile.\n./page.tsx\nType error\n" + "npm ERR! code 1\n" * 40, "./page.tsx"),
        ("linted: 0 errors\n" + "x\n" * 50 + "make: *** [all] Error 1", "make: *** [all] Error 1"),
    ],
)
def test_the_lines_shown_hold_the_error(output: str, shown: str) -> None:
    lines = telling_lines(output)
    assert shown in lines
    assert "0 errors" not in lines
    assert "\x1b" not in lines
