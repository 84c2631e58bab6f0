"""Hooks of real releases: what they see, what they stop, and what is left when a release is killed."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable

import psutil
import pytest

from cakravia_verify.system.processes import has_ended
from tests.plugin.sessions.shop import SUITES, Shop

MOMENTS = ("before-stage", "before-switch", "after-switch", "after-promote", "after-rollback", "on-failure")
# Appends what it was told to a file, and then does what the test wants.
TELL = "import json, sys; open({file!r}, 'a').write(json.dumps(json.load(sys.stdin)) + chr(10)); {then}"


class Telling:
    """A shop whose hooks write what they are told into a file."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.file = shop.folder / "told.txt"

    def hook(self, at: str, *, then: str = "pass", more: str = "") -> None:
        script = TELL.format(file=str(self.file), then=then)
        command = json.dumps(["{python}", "-c", script])
        table = f'[[hooks]]\nat = "{at}"\nname = "{at}"\ncommand = {command}\n{more}\n'
        self.shop.settings.write_text(f"{self.shop.settings.read_text()}\n{table}")

    @property
    def told(self) -> list[dict[str, str]]:
        return [json.loads(line) for line in self.file.read_text().splitlines()] if self.file.exists() else []

    @property
    def moments(self) -> list[str]:
        return [each["at"] for each in self.told]


@pytest.fixture
def telling(new_shop: Callable[..., Shop]) -> Telling:
    return Telling(new_shop())


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or has_ended(psutil.Process(pid))


def log_of(shop: Shop) -> str:
    return (shop.latest() / "hooks.log").read_text()


def test_hooks_of_a_promoted_release_are_told_its_facts_and_lose_no_request(telling: Telling) -> None:
    for moment in MOMENTS:
        telling.hook(moment, then="print('said at', sys.argv)")
    assert telling.shop.deploy("v1").status == 0
    telling.file.unlink()
    ended = telling.shop.deploy("v2")
    assert ended.status == 0, ended.output
    assert telling.moments == ["before-stage", "before-switch", "after-switch", "after-promote"]
    assert {(each["version"], each["previous_version"], each["site"]) for each in telling.told} == {
        ("v2", "v1", "shop")
    }
    assert telling.told[-1]["outcome"] == "promoted"
    assert "said at" in log_of(telling.shop)
    verdict = telling.shop.verdict()
    assert verdict["evidence"]["measured"]["lost"] == 0
    assert "hooks.log" in verdict["files"]


@pytest.mark.slow
def test_a_hook_that_fails_before_the_switch_stops_the_release(telling: Telling) -> None:
    assert telling.shop.deploy("v1").status == 0
    telling.hook("before-switch", then="sys.exit('the cache is not warm')")
    for moment in ("after-rollback", "on-failure"):
        telling.hook(moment)
    ended = telling.shop.deploy("v2")
    assert ended.status == 1, ended.output
    assert "the cache is not warm" in ended.output
    assert telling.moments == ["before-switch", "after-rollback", "on-failure"]
    assert telling.shop.serving() == "v1"
    assert not telling.shop.verdict()["switch"]["at"]


@pytest.mark.slow
def test_a_hook_that_fails_after_the_switch_brings_users_back(telling: Telling) -> None:
    assert telling.shop.deploy("v1").status == 0
    telling.hook("after-switch", then="sys.exit(3)")
    ended = telling.shop.deploy("v2")
    assert ended.status == 1, ended.output
    assert telling.shop.serving() == "v1"
    assert telling.shop.verdict()["evidence"]["measured"]["lost"] == 0


@pytest.mark.slow
def test_a_hook_beyond_its_timeout_is_killed_with_what_it_started(telling: Telling) -> None:
    child = "import subprocess, time; p = subprocess.Popen(['sleep', '300']); open('{file}', 'w').write(str(p.pid))"
    pid_file = telling.shop.folder / "pid"
    telling.hook("before-stage", then=f"{child.format(file=pid_file)}; time.sleep(300)", more="timeout = 3.0")
    ended = telling.shop.deploy("v1")
    assert ended.status == 1, ended.output
    assert "did not end within 3 s and was killed" in ended.output
    assert is_gone(int(pid_file.read_text()))


@pytest.mark.slow
def test_a_hook_may_run_cakravia_itself(telling: Telling) -> None:
    assert telling.shop.deploy("v1").status == 0
    script = (
        f"import subprocess; print(subprocess.run([sys.executable, '-m', 'cakravia_verify.cli', '--site', "
        f"{str(telling.shop.settings)!r}, 'status'], capture_output=True, text=True, check=True).stdout)"
    )
    telling.hook("before-switch", then=script, more='where = "machine"')
    ended = telling.shop.deploy("v2")
    assert ended.status == 0, ended.output
    assert "v1" in log_of(telling.shop)


@pytest.mark.slow
def test_a_release_killed_during_a_hook_is_undone_and_the_hook_ended(telling: Telling) -> None:
    assert telling.shop.deploy("v1").status == 0
    pid_file = telling.shop.folder / "pid"
    then = f"import os, time; open({str(pid_file)!r}, 'w').write(str(os.getpid())); time.sleep(300)"
    telling.hook("before-switch", then=then, more='kind = "migration"')
    running = telling.shop.begin_pytest(str(SUITES / "deploy"), *telling.shop.site, "--version", "v2")
    limit = time.monotonic() + 120
    while not (pid_file.exists() and pid_file.read_text()) and time.monotonic() < limit:
        time.sleep(0.05)
    running.process.send_signal(signal.SIGKILL)
    running.wait()
    ended = telling.shop.cakravia("recover")
    assert ended.status == 0, ended.output
    assert "(before-switch)" in ended.output
    assert is_gone(int(pid_file.read_text()))
    assert telling.shop.serving() == "v1"
