"""One release at a time, across real processes and their deaths."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cakravia_verify.errors import JournalError, LockHeld, SiteLost, UsageError
from cakravia_verify.settings.models import Settings
from cakravia_verify.site.assembly import open_site
from cakravia_verify.site.lock import Lock
from cakravia_verify.system.clock import Deadline
from cakravia_verify.testing.memory import FakeClock
from tests.memory_stage import Stage

HOLDER = """
import sys
from pathlib import Path
from cakravia_verify.site.lock import Lock
lock = Lock(Path(sys.argv[1]))
lease = lock.acquire("deploy v2")
print(lease.token, flush=True)
sys.stdin.readline()
lock.release()
"""


@pytest.fixture
def path(quick_folder: Path) -> Path:
    return quick_folder / "state" / "lock"


@pytest.fixture
def hold(path: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    holders: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        holders.append(holder)
        assert holder.stdout is not None
        assert holder.stdout.readline().strip().isdigit()
        return holder

    yield start
    for holder in holders:
        holder.kill()
        holder.communicate()


def test_the_second_is_told_who_holds_the_site_and_why(hold: Callable[[], subprocess.Popen[str]], path: Path) -> None:
    holder = hold()
    with pytest.raises(LockHeld, match=rf"process {holder.pid} on .*: deploy v2") as caught:
        Lock(path).acquire("deploy v3")
    assert "--wait" in caught.value.remedy
    asked = Lock(path).holder()
    assert asked is not None
    assert asked.pid == holder.pid


def test_a_holder_killed_outright_is_taken_over_from_and_named(
    hold: Callable[[], subprocess.Popen[str]], path: Path
) -> None:
    holder = hold()
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    lock = Lock(path)
    assert lock.holder() is None
    lease = lock.acquire("deploy v3")
    assert lock.taken_over is not None
    assert (lock.taken_over.pid, lock.taken_over.token) == (holder.pid, lease.token - 1)
    lock.release()


def test_a_stopped_holder_still_holds(hold: Callable[[], subprocess.Popen[str]], path: Path) -> None:
    holder = hold()
    holder.send_signal(signal.SIGSTOP)
    with pytest.raises(LockHeld):
        Lock(path).acquire("deploy v3")
    holder.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_a_lock_that_is_no_regular_file_is_refused_in_words(path: Path, make: Callable[[Path], object]) -> None:
    path.parent.mkdir(parents=True)
    make(path)
    assert Lock(path).holder() is None
    with pytest.raises(UsageError, match="cannot be opened"):
        Lock(path).acquire("a test")


@pytest.mark.parametrize("content", ["[" * 60_000, '{"token": 1e999}', "\x00\xff", "[]", ""])
def test_a_lock_with_odd_content_is_taken(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(content)
    lock = Lock(path)
    assert lock.holder() is None
    lock.acquire("a test")
    lock.release()


def test_a_lock_that_was_released_is_not_taken_over(path: Path) -> None:
    first, second = Lock(path), Lock(path)
    first.acquire("deploy v1")
    first.release()
    first.release()
    second.acquire("deploy v2")
    assert second.taken_over is None
    second.release()


def test_tokens_grow_with_every_lease(path: Path) -> None:
    tokens = []
    for _ in range(3):
        lock = Lock(path)
        tokens.append(lock.acquire("deploy").token)
        lock.release()
    assert tokens == [1, 2, 3]


def test_a_token_is_above_every_token_in_the_journal_without_a_lock_file(path: Path) -> None:
    lock = Lock(path, above=lambda: 7)
    assert lock.acquire("deploy").token == 8
    path.unlink()
    assert Lock(path, above=lambda: 8).acquire("recover").token == 9
    lock.release()


def test_a_history_that_cannot_be_read_leaves_the_lock_free(path: Path) -> None:
    def unreadable() -> int:
        raise JournalError("the history cannot be read")

    with pytest.raises(JournalError):
        Lock(path, above=unreadable).acquire("deploy")
    lock = Lock(path)
    assert lock.acquire("deploy").token == 1
    lock.release()


@pytest.mark.parametrize("token", ['"many"', "null", "1e999"])
def test_a_token_that_is_no_number_is_no_obstacle(path: Path, token: str) -> None:
    lock = Lock(path)
    lock.acquire("deploy")
    lock.release()
    path.write_text(path.read_text().replace('"token": 1', f'"token": {token}'))
    assert lock.acquire("deploy").token == 1
    lock.release()


def test_the_first_holder_writes_no_more_after_its_lock_file_was_removed(
    quick_folder: Path,
) -> None:
    settings = Settings(root=quick_folder)
    first, second = open_site(settings), open_site(settings)
    first.journal.token = first.lock.acquire("deploy v2").token
    first.journal.append("release.started", release="r2")
    first.lock.path.unlink()
    second.journal.token = second.lock.acquire("recover").token
    assert second.journal.token == 2
    second.journal.append("recovery.started", release="r2")
    with pytest.raises(SiteLost):
        first.journal.append("release.finished", release="r2")
    for site in (first, second):
        site.lock.release()


LIVING = """
import sys
from pathlib import Path
from cakravia_verify.site.assembly import open_site
from cakravia_verify.history.running_release import this_process
from cakravia_verify.settings.models import Settings
from tests.memory_stage import Stage
site = open_site(Settings(root=Path(sys.argv[1])))
site.journal.token = site.lock.acquire("deploy v2").token
facts = {"kind": "deploy", "version": "v2", "slot": "green", **this_process()}
site.journal.append("release.started", release="r2", **facts)
site.lock.path.unlink()
print("runs", flush=True)
sys.stdin.readline()
site.journal.append("release.finished", release="r2", outcome="promoted")
print("ended", flush=True)
"""


@pytest.fixture
def living(quick_folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process in the middle of a release whose lock file was removed."""
    process = subprocess.Popen(
        [sys.executable, "-c", LIVING, str(quick_folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "runs\n"
    yield process
    process.kill()
    process.communicate()


def test_a_site_whose_lock_file_was_removed_is_held_while_the_release_lives(
    living: subprocess.Popen[str], quick_folder: Path
) -> None:
    site = open_site(Settings(root=quick_folder))
    for _ in range(2):
        with pytest.raises(
            LockHeld, match=rf"release r2 \(deploy v2\) still runs: .*process {living.pid} on"
        ) as caught:
            site.lock.acquire("recover")
    assert f"kill {living.pid}" in caught.value.remedy
    assert living.stdin is not None
    assert living.stdout is not None
    living.stdin.write("\n")
    living.stdin.flush()
    assert living.stdout.readline() == "ended\n"
    assert site.lock.acquire("recover").token == 2
    site.lock.release()


def test_a_release_that_died_holds_nothing(living: subprocess.Popen[str], quick_folder: Path) -> None:
    living.kill()
    living.wait()
    site = open_site(Settings(root=quick_folder))
    assert site.lock.acquire("recover").token == 2
    site.lock.release()


def test_waiting_also_waits_for_a_release_that_the_lock_does_not_show(path: Path) -> None:
    clock, asked = FakeClock(), []

    def above() -> int:
        asked.append(clock.now)
        if len(asked) < 4:
            raise LockHeld("a release still runs")
        return 6

    lock = Lock(path, above=above)
    assert lock.acquire("deploy", wait=Deadline("the lock is free", 60, clock=clock)).token == 7
    lock.release()


def test_a_release_that_lost_the_site_moves_and_stops_nothing_more(site_with_v1: Stage) -> None:
    site = site_with_v1.site
    site.journal.token = 3
    release = site_with_v1.release("v2")
    release.start()
    release.advance("switch")
    later = site_with_v1.opened().journal
    later.token = 4
    later.append("recovery.started", release=release.id)
    acted = len(site_with_v1.memory.acted)
    with pytest.raises(SiteLost):
        release.advance("bake")
    with pytest.raises(SiteLost):
        release.roll_back("it lost the site")
    assert site_with_v1.memory.acted[acted:] == []


def test_a_lease_with_the_rest_of_an_older_one_behind_it_still_counts(path: Path) -> None:
    lock = Lock(path)
    lock.acquire("deploy")
    lock.release()
    with path.open("ab") as file:
        file.write(b'"since": "2020"}\n')
    assert lock.acquire("deploy").token == 2
    lock.release()


def test_a_lock_file_of_garbage_is_no_obstacle(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"\x00\xff[[[")
    lock = Lock(path)
    assert lock.holder() is None
    assert lock.acquire("deploy").token == 1
    lock.release()


def test_waiting_ends_with_the_lock_when_the_holder_lets_go(path: Path) -> None:
    clock, holder, waiter = FakeClock(), Lock(path), Lock(path)
    holder.acquire("deploy v1")
    clock.on_sleep = lambda: holder.release() if len(clock.slept) == 3 else None
    lease = waiter.acquire("deploy v2", wait=Deadline("the lock is free", 60, clock=clock))
    assert lease.token == 2
    waiter.release()


def test_waiting_ends_with_the_holders_name_when_the_time_is_over(path: Path) -> None:
    clock, holder = FakeClock(), Lock(path)
    holder.acquire("deploy v1")
    with pytest.raises(LockHeld, match=f"process {os.getpid()}"):
        Lock(path).acquire("deploy v2", wait=Deadline("the lock is free", 2, clock=clock))
    assert sum(clock.slept) >= 2
    holder.release()


def test_a_lock_won_on_a_file_that_was_removed_meanwhile_is_not_taken_for_one(path: Path) -> None:
    clock, holder, waiter = FakeClock(), Lock(path), Lock(path)
    holder.acquire("deploy v1")

    def somebody_tidies_up() -> None:
        path.unlink(missing_ok=True)
        holder.release()

    clock.on_sleep = somebody_tidies_up
    waiter.acquire("deploy v2", wait=Deadline("the lock is free", 60, clock=clock))
    with pytest.raises(LockHeld):
        Lock(path).acquire("deploy v3")
    waiter.release()


def test_a_lock_that_cannot_be_opened_is_a_usage_error(quick_folder: Path) -> None:
    (quick_folder / "file").touch()
    with pytest.raises(UsageError, match="cannot be opened") as caught:
        Lock(quick_folder / "file" / "lock").acquire("deploy")
    assert caught.value.remedy


FULL_DISK = """
import resource, sys
from pathlib import Path
from cakravia_verify.errors import UsageError
from cakravia_verify.site.lock import Lock
held = Lock(Path(sys.argv[1]))
held.acquire("deploy v1")
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
held.release()
try:
    held.acquire("deploy v2")
except UsageError as error:
    print("refused:", error.message)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
print("token", Lock(Path(sys.argv[1])).acquire("deploy v3").token)
"""


def test_a_full_disk_does_not_keep_the_lock_and_refuses_a_nameless_one(path: Path) -> None:
    said = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert "cannot be written" in said[0]
    assert said[1].startswith("token ")


def contend(path: Path, evidence: Path, number: int) -> None:
    lock = Lock(path)
    try:
        lock.acquire(f"deploy {number}")
    except LockHeld as error:
        (evidence / f"told-{number}").write_text(error.message)
        return
    inside = evidence / "inside"
    handle = os.open(inside, os.O_CREAT | os.O_EXCL)
    os.close(handle)
    lease = lock.lease
    assert lease is not None
    (evidence / f"held-{lease.token}").write_text(json.dumps({"number": number}))
    inside.unlink()
    lock.release()


def contenders(path: Path, evidence: Path, first: int, count: int) -> None:
    """Several contenders that live in one process; forks start at the same instant and cost little."""
    children = []
    for number in range(first, first + count):
        child = os.fork()
        if not child:
            status = 1
            try:
                contend(path, evidence, number)
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    statuses = [os.waitpid(child, 0)[1] for child in children]
    sys.exit(int(any(statuses)))


@pytest.mark.check
def test_of_fifty_contenders_one_at_a_time_holds_and_the_others_name_it(path: Path, quick_folder: Path) -> None:
    evidence = quick_folder / "evidence"
    evidence.mkdir()
    context = multiprocessing.get_context("spawn")
    crowds = [context.Process(target=contenders, args=(path, evidence, crowd * 25, 25)) for crowd in range(2)]
    for crowd in crowds:
        crowd.start()
    for crowd in crowds:
        crowd.join(60)
    assert [crowd.exitcode for crowd in crowds] == [0, 0]
    held = sorted(int(each.name.removeprefix("held-")) for each in evidence.glob("held-*"))
    told = [each.read_text() for each in evidence.glob("told-*")]
    assert held == list(range(1, len(held) + 1))
    assert len(held) + len(told) == 50
    assert all("another release holds this site: " in text for text in told)
