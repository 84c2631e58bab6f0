"""Companions as real processes: found by any process, ended whole, and never two of one name."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from cakravia_verify.errors import PlatformError
from cakravia_verify.platforms.companions import Companion
from cakravia_verify.platforms.process.companions import MARK, ProcessCompanions
from cakravia_verify.platforms.process.slots import ProcessPlatform
from cakravia_verify.settings.companions import CompanionSettings
from cakravia_verify.settings.models import Settings
from cakravia_verify.slots import Artifact
from cakravia_verify.system.clock import poll
from tests.platforms.process.conftest import deadline

# Says what it was given, starts a child in a session of its own, and ends 0.2 s after it is told to.
WORK = """
import json, os, signal, subprocess, sys, threading, time
child = subprocess.Popen(["sleep", "60"], start_new_session=True)
def end(*_):
    print("told to end", flush=True)
    threading.Timer(0.2, lambda: (print("ended", flush=True), os._exit(0))).start()
signal.signal(signal.SIGTERM, signal.SIG_IGN if "deaf" in sys.argv else end)
print(json.dumps({"argv": sys.argv[1:], "cwd": os.getcwd(), **os.environ}), flush=True)
while True: time.sleep(1)
"""
WORKER = CompanionSettings(name="worker", command=("{python}", "-c", WORK, "{version}"), environment={"QUEUE": "mail"})


@pytest.fixture
def companions(platform: ProcessPlatform, settings: Settings) -> Iterator[ProcessCompanions]:
    yield platform.companions
    for process in marked(settings):
        with contextlib.suppress(psutil.Error):
            process.kill()


@pytest.fixture
def worker(companions: ProcessCompanions, artifact: Artifact) -> Companion:
    """The worker of v1, which has said what it was given."""
    started = companions.start(WORKER, artifact, release="r1", deadline=deadline())
    poll(lambda: companions.logs("worker", lines=5) or None, deadline=deadline(), every=0.02)
    return started


def marked(settings: Settings) -> list[psutil.Process]:
    """Every process that a companion of the site is, or started."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(MARK, "").startswith(str(settings.state)):
                found.append(process)
    return [process for process in found if process.status() != psutil.STATUS_ZOMBIE]


def pid_of(companion: Companion) -> int:
    return int(companion.identity.partition("@")[0])


def test_a_companion_runs_as_its_version_without_an_address(
    worker: Companion, companions: ProcessCompanions, settings: Settings
) -> None:
    told = companions.logs("worker", lines=5)
    assert '"argv": ["v1"]' in told
    for name, value in {"APP_VERSION": "v1", "QUEUE": "mail", "DEPLOYMENT_RELEASE": "r1"}.items():
        assert f'"{name}": "{value}"' in told
    assert f'"cwd": "{settings.state}/versions' in told
    assert not any(f'"{name}"' in told for name in ("PORT", "DEPLOYMENT_SLOT", "DEPLOYMENT_ROLE_FILE", "REQUEST_LOG"))


def test_a_companion_is_found_by_any_process_also_without_its_record(worker: Companion, settings: Settings) -> None:
    assert ProcessPlatform(settings).companions.running() == (worker,)
    (settings.state / "companions" / "worker" / "companion.json").unlink()
    assert ProcessPlatform(settings).companions.running() == (worker,)


def test_a_stopped_companion_has_its_grace_and_leaves_no_child(
    worker: Companion, companions: ProcessCompanions, settings: Settings
) -> None:
    assert len(marked(settings)) == 2
    for _ in range(2):
        companions.stop("worker", deadline=deadline())
    assert companions.logs("worker", lines=2).splitlines() == ["told to end", "ended"]
    assert (marked(settings), companions.running()) == ([], ())


def test_a_companion_that_ignores_its_signal_is_killed_with_its_children(
    companions: ProcessCompanions, artifact: Artifact, settings: Settings
) -> None:
    deaf = WORKER.model_copy(update={"command": (*WORKER.command, "deaf")})
    companions.start(deaf, artifact, release="r1", deadline=deadline())
    poll(lambda: companions.logs("worker", lines=5) or None, deadline=deadline(), every=0.02)
    companions.stop("worker", deadline=deadline(0.3))
    assert marked(settings) == []


def test_starting_a_companion_ends_the_one_before_and_what_a_killed_one_left(
    worker: Companion, companions: ProcessCompanions, artifact: Artifact, settings: Settings
) -> None:
    os.kill(pid_of(worker), signal.SIGKILL)
    poll(lambda: not companions.running(), deadline=deadline(), every=0.02)
    assert len(marked(settings)) == 1  # its child
    again = companions.start(WORKER, artifact, release="r2", deadline=deadline())
    poll(lambda: len(marked(settings)) == 2, deadline=deadline(), every=0.02)
    third = companions.start(WORKER, artifact, release="r3", deadline=deadline())
    assert again.identity != third.identity
    assert companions.running() == (third,)
    assert pid_of(again) not in {process.pid for process in marked(settings)}


def test_a_copied_site_has_no_companions_of_the_original(worker: Companion, settings: Settings, tmp_path: Path) -> None:
    shutil.copytree(settings.state, tmp_path / "copy" / ".cakravia", symlinks=True)
    copied = ProcessPlatform(settings.model_copy(update={"root": tmp_path / "copy"})).companions
    assert copied.running() == ()
    copied.stop("worker", deadline=deadline())
    assert ProcessPlatform(settings).companions.running() == (worker,)


def test_a_companion_without_a_program_is_refused_by_name(companions: ProcessCompanions, artifact: Artifact) -> None:
    missing = CompanionSettings(name="worker", command=("no-such-program",))
    with contextlib.suppress(PlatformError):
        companions.start(missing, artifact, release="r1", deadline=deadline())
    poll(lambda: "no-such-program" in companions.logs("worker", lines=5), deadline=deadline(), every=0.02)
    poll(lambda: not companions.running(), deadline=deadline(), every=0.02)


def test_a_companion_above_its_memory_limit_is_ended_and_told(
    companions: ProcessCompanions, artifact: Artifact
) -> None:
    hungry = CompanionSettings(
        name="worker", command=(sys.executable, "-c", "import time; x = b'x' * (400 << 20); time.sleep(60)")
    )
    companions.start(hungry, artifact, release="r1", deadline=deadline())
    poll(
        lambda: "cakravia: companion worker was ended" in companions.logs("worker", lines=5),
        deadline=deadline(),
        every=0.1,
    )
    poll(lambda: not companions.running(), deadline=deadline(), every=0.02)
