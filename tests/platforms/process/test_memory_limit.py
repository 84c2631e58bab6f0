"""`memory_limit` limits the resident memory of all processes of a slot, and a slot that exceeds it is told so."""

from __future__ import annotations

import contextlib
import urllib.request
from collections.abc import Callable

import psutil
import pytest

from cakravia_verify.platforms.process.memory_watch import ProcessRow, members_of
from cakravia_verify.platforms.process.slots import ProcessPlatform
from cakravia_verify.settings.models import Settings
from cakravia_verify.slots import Colour, Slot
from cakravia_verify.system.clock import poll
from tests.platforms.process.conftest import deadline
from tests.platforms.process.test_process_platform import with_app

Ask = Callable[[Slot, str], str]


def start(settings: Settings, **environment: str) -> tuple[ProcessPlatform, Slot]:
    made = ProcessPlatform(with_app(settings, environment=environment))
    slot = made.start(Colour.BLUE, made.build("v1", deadline=deadline()), release="r1", deadline=deadline())
    return made, slot


@pytest.mark.parametrize("path", ["/grow", "/grow-in-a-child"])
def test_a_slot_above_its_memory_limit_is_ended_and_its_log_names_the_limit(
    started: Slot, platform: ProcessPlatform, path: str
) -> None:
    with contextlib.suppress(OSError):
        urllib.request.urlopen(started.address.url + path, timeout=20).close()  # noqa: S310
    poll(lambda: platform.observe(Colour.BLUE) is None, deadline=deadline(20), every=0.05)
    assert "blue was ended: its processes used" in platform.logs(Colour.BLUE, lines=3)
    assert '[slots] memory_limit = "256M"' in platform.logs(Colour.BLUE, lines=3)


def test_idle_threads_do_not_use_up_the_memory_limit(settings: Settings, platform: ProcessPlatform, ask: Ask) -> None:
    made, slot = start(settings, IDLE_THREADS="150")
    ask(slot, "/")
    assert made.observe(Colour.BLUE) == slot


def test_pages_that_forked_workers_share_count_once(settings: Settings, platform: ProcessPlatform, ask: Ask) -> None:
    made, slot = start(settings, SHARES="120")
    ask(slot, "/")
    with pytest.raises(Exception, match="still there"):
        poll(
            lambda: made.observe(Colour.BLUE) is None,
            deadline=deadline(2),
            every=0.1,
            observed=lambda: "the slot is still there",
        )


def test_the_watch_over_the_memory_ends_with_its_slot(started: Slot, platform: ProcessPlatform) -> None:
    pid = started.identity.partition("@")[0]

    def watches() -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.cmdline()[-4:-1] == ["blue", pid, str(256 << 20)] and process.status() != "zombie":
                    found.append(process)
        return found

    assert poll(watches, deadline=deadline(), every=0.05)
    platform.stop(Colour.BLUE, deadline=deadline())
    poll(lambda: not watches(), deadline=deadline(), every=0.05)


def row(pid: int, parent: int, session: int, *, started: int = 1) -> ProcessRow:
    return ProcessRow(pid, parent, session, 0, started)


def test_a_slot_has_its_session_and_all_that_these_started() -> None:
    rows = [
        row(1, 0, 1),
        row(10, 1, 10),
        row(11, 10, 10),
        row(12, 11, 12),
        row(13, 12, 13),
        row(14, 1, 10),
        row(20, 1, 20),
    ]
    assert {each.pid for each in members_of(10, rows, started=1)} == {10, 11, 12, 13, 14}


def test_a_later_process_with_the_same_number_is_not_the_slot() -> None:
    assert members_of(10, [row(10, 1, 10, started=7)], started=1) == []
