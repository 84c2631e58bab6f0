"""The history survives what kills its writer, and loses nothing silently."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cakravia_verify.errors import JournalError, SiteLost
from cakravia_verify.history.journal import Journal
from cakravia_verify.history.journal_file import FIELDS, Entries, IrregularLine, JournalEntry
from cakravia_verify.system.files import write_atomically
from cakravia_verify.testing.memory import FakeClock


@pytest.fixture
def journal(quick_folder: Path) -> Journal:
    return Journal(quick_folder / "state" / "history.log")


def numbers(journal: Journal) -> list[int]:
    return [entry.seq for entry in journal.entries()]


def test_an_entry_can_be_read_back_as_it_was_appended(journal: Journal) -> None:
    appended = journal.append("step.done", release="r1", step="build", seconds=1.5, removed=["v1"])
    assert journal.entries() == [appended]


def test_entries_are_numbered_without_a_gap_across_processes(journal: Journal) -> None:
    journal.append("a")
    Journal(journal.path).append("b")
    journal.append("c")
    assert numbers(journal) == [1, 2, 3]


def test_the_history_belongs_to_its_owner_alone(journal: Journal) -> None:
    journal.append("a")
    assert stat.S_IMODE(journal.path.stat().st_mode) == 0o600


def test_a_huge_text_does_not_make_the_history_huge(journal: Journal) -> None:
    journal.append("step.failed", problem="x" * 6_000_000, rows=["y" * 6_000_000])
    assert journal.path.stat().st_size < 20_000
    assert journal.entries()[0].facts["problem"].startswith("xxx")


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_a_history_that_is_no_regular_file_is_refused_in_words(
    journal: Journal, make: Callable[[Path], object]
) -> None:
    journal.path.parent.mkdir()
    make(journal.path)
    for use in (journal.entries, lambda: journal.append("x")):
        with pytest.raises(JournalError, match="it is no regular file"):
            use()


def test_a_history_that_does_not_exist_yet_is_empty(journal: Journal) -> None:
    assert journal.entries() == []
    assert journal.damage() == []


@pytest.mark.parametrize("cut", [1, 3, 7, 8, 20, 60, -2, -1])
def test_a_torn_last_line_is_passed_over_and_closed_by_the_next_append(journal: Journal, cut: int) -> None:
    journal.append("whole")
    whole = journal.path.read_bytes()
    journal.append("torn", facts={"inner": {"deep": 1}, "text": 'a "quoted" \\ brace }'})
    torn = journal.path.read_bytes()[len(whole) :]
    journal.path.write_bytes(whole + torn[:cut])
    complete = cut == -1
    reader = Journal(journal.path)
    assert numbers(reader) == ([1, 2] if complete else [1])
    assert reader.damage() == []
    reader.append("after")
    assert [entry.event for entry in reader.entries()] == ["whole", *(["torn"] if complete else []), "after"]
    assert reader.damage() == []


def test_a_line_cut_behind_an_inner_brace_is_torn_and_not_damaged(journal: Journal) -> None:
    journal.append("whole")
    with journal.path.open("ab") as file:
        file.write(b'{"seq":2,"facts":{"a":1}')
    journal.append("after")
    assert journal.damage() == []
    assert numbers(journal) == [1, 2]


def test_damage_in_the_middle_is_named_by_line(journal: Journal) -> None:
    for event in ("a", "b", "c"):
        journal.append(event)
    lines = journal.path.read_bytes().splitlines()
    lines[1] = b"\x00garbage\xff"
    journal.path.write_bytes(b"\n".join(lines) + b"\n")
    assert "line 2" in journal.damage()[0]
    assert numbers(journal) == [1, 3]


def test_a_removed_line_is_reported_as_damage(journal: Journal) -> None:
    for event in ("a", "b", "c"):
        journal.append(event)
    lines = journal.path.read_bytes().splitlines(keepends=True)
    journal.path.write_bytes(lines[0] + lines[2])
    assert "entry 2 should follow, but entry 3 does" in journal.damage()[0]


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 100_000,
        b"null",
        b"5",
        b'"x"',
        b"[1]",
        b"{}",
        b'{"seq":1e999,"at":"","event":""}',
        b'{"seq":null}',
        b"\xff\xfe",
    ],
)
def test_a_line_that_is_no_entry_is_damage_and_never_a_traceback(journal: Journal, line: bytes) -> None:
    journal.append("a")
    with journal.path.open("ab") as file:
        file.write(line + b"\n")
    journal.append("b")
    assert len(journal.damage()) == 1
    assert [entry.event for entry in journal.entries()] == ["a", "b"]


def test_bytes_that_are_no_text_survive(journal: Journal) -> None:
    reason = os.fsdecode(b"v1 \xff\xfe")
    journal.append("release.started", reason=reason)
    assert journal.entries()[0].facts == {"reason": reason}


def test_a_fact_cannot_take_the_place_of_a_field(journal: Journal) -> None:
    with pytest.raises(ValueError, match="'who'"):
        journal.append("a", who="somebody else")


def test_a_clock_that_jumps_back_does_not_change_the_order(quick_folder: Path) -> None:
    clock = FakeClock()
    journal = Journal(quick_folder / "history.log", clock=clock)
    journal.append("a")
    clock.now -= 3_600
    journal.append("b")
    assert [(entry.seq, entry.event) for entry in journal.entries()] == [(1, "a"), (2, "b")]
    assert journal.damage() == []


def test_a_folder_in_the_place_of_the_history_is_an_error_with_a_remedy(quick_folder: Path) -> None:
    with pytest.raises(JournalError) as caught:
        Journal(quick_folder).append("a")
    assert caught.value.remedy


def test_a_history_that_cannot_be_created_is_an_error_with_a_remedy(quick_folder: Path) -> None:
    (quick_folder / "file").touch()
    with pytest.raises(JournalError, match="cannot be written") as caught:
        Journal(quick_folder / "file" / "history.log").append("a")
    assert caught.value.remedy


FULL_DISK = """
import resource, sys
from pathlib import Path
from cakravia_verify.errors import JournalError
from cakravia_verify.history.journal import Journal
path = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + int(sys.argv[2]), resource.RLIM_INFINITY))
journal = Journal(path)
try:
    journal.append("too much", text="x" * 500)
except JournalError as error:
    print(error)
"""


@pytest.mark.parametrize("room", [0, 1, 100, 400])
def test_a_full_disk_refuses_the_entry_and_leaves_no_half_of_it(journal: Journal, room: int) -> None:
    journal.append("whole")
    before = journal.path.read_bytes()
    said = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(journal.path), str(room)], capture_output=True, text=True, check=True
    ).stdout
    assert "cannot be written" in said
    assert "free space" in said
    assert journal.path.read_bytes() == before
    journal.append("room again")
    assert numbers(journal) == [1, 2]


EMPTY = b"\0" * 512


def test_nul_bytes_at_the_end_are_no_damage_before_and_after_the_next_append(journal: Journal) -> None:
    journal.append("a")
    with journal.path.open("ab") as file:
        file.write(EMPTY)
    reader = Journal(journal.path)
    assert (reader.damage(), numbers(reader)) == ([], [1])
    assert ["512 empty bytes" in scar for scar in reader.scars()] == [True]
    reader.append("b")
    reader.append("c")
    again = Journal(journal.path)
    assert (again.damage(), numbers(again)) == ([], [1, 2, 3])
    assert ["line 2: 512 empty bytes" in scar for scar in again.scars()] == [True]


@pytest.mark.parametrize("before", [b"", b'{"seq":2,"at":"2026', b'xt":"the end of an entry"}'])
@pytest.mark.parametrize("after", [b"", b"\n", b'xt":"the end of an entry"}\n'])
def test_nul_bytes_and_the_torn_entries_around_them_are_a_scar(journal: Journal, before: bytes, after: bytes) -> None:
    journal.append("a")
    with journal.path.open("ab") as file:
        file.write(before + EMPTY + after)
    for event in ("b", "c"):
        Journal(journal.path).append(event)
    assert journal.damage() == []
    assert [entry.event for entry in journal.entries()] == ["a", "b", "c"]
    assert len(journal.scars()) == 1


def test_an_entry_right_behind_nul_bytes_is_read(journal: Journal) -> None:
    for event in ("a", "b", "c"):
        journal.append(event)
    first, *others = journal.path.read_bytes().splitlines(keepends=True)
    journal.path.write_bytes(first + EMPTY + b"".join(others))
    assert (numbers(journal), journal.damage()) == ([1, 2, 3], [])


def test_an_entry_replaced_by_nul_bytes_is_reported_missing(journal: Journal) -> None:
    for event in ("a", "b", "c"):
        journal.append(event)
    lines = journal.path.read_bytes().splitlines(keepends=True)
    journal.path.write_bytes(lines[0] + EMPTY + b'xt":1}\n' + lines[2])
    assert numbers(journal) == [1, 3]
    assert ["line 2: not an entry" in journal.damage()[0], "entry 2 should follow" in journal.damage()[1]] == [True] * 2


def test_a_reader_that_stays_open_sees_what_others_append(journal: Journal) -> None:
    reader = Journal(journal.path)
    for count in range(1, 4):
        journal.append("a")
        assert numbers(reader) == list(range(1, count + 1))
        assert reader.damage() == []


def test_read_entries_do_not_change_when_others_append(journal: Journal) -> None:
    journal.append("a")
    then = journal.entries()
    journal.append("b")
    assert [entry.event for entry in then] == ["a"]
    assert [entry.event for entry in journal.entries()] == ["a", "b"]


@pytest.mark.parametrize("how", ["edited in place", "replaced", "cut", "edited and longer"])
def test_a_history_that_was_changed_by_hand_is_read_again(journal: Journal, how: str) -> None:
    for event in ("a", "b", "c"):
        journal.append(event)
    assert len(journal.entries()) == 3
    content = journal.path.read_bytes()
    if how == "edited in place":
        journal.path.write_bytes(content.replace(b'"b"', b'"B"'))
        os.utime(journal.path, ns=(1, 1))
    elif how == "replaced":
        draft = journal.path.with_name("draft")
        draft.write_bytes(content.replace(b'"b"', b'"B"'))
        draft.replace(journal.path)
    elif how == "cut":
        journal.path.write_bytes(b"".join(content.splitlines(keepends=True)[:1]))
    else:
        journal.path.write_bytes(content.replace(b'"b"', b'"BBBB"') + content.splitlines(keepends=True)[2])
    assert journal.entries() == Journal(journal.path).entries()
    assert journal.damage() == Journal(journal.path).damage()
    journal.append("d")
    assert journal.entries() == Journal(journal.path).entries()


def test_a_history_that_was_removed_is_empty_and_begins_again(journal: Journal) -> None:
    journal.append("a")
    assert len(journal.entries()) == 1
    journal.path.unlink()
    assert journal.entries() == []
    journal.append("b")
    assert [(entry.seq, entry.event) for entry in journal.entries()] == [(1, "b")]


def test_a_search_from_the_end_decodes_only_visited_entries(journal: Journal) -> None:
    for event in ("a", "b", "c"):
        journal.append(event)
    lines: list[bytes | JournalEntry | IrregularLine] = [*journal.path.read_bytes().splitlines()]
    entries = Entries(lines, count=3, tail=b"")
    assert next(reversed(entries)).event == "c"
    assert [isinstance(line, bytes) for line in lines] == [True, True, False]


def holding(path: Path, token: int) -> Journal:
    journal = Journal(path)
    journal.token = token
    return journal


def test_a_holder_who_lost_the_site_writes_nothing_more(journal: Journal) -> None:
    first, second = holding(journal.path, 3), holding(journal.path, 4)
    first.append("step.intent", release="r1", step="bake")
    second.append("recovery.started", release="r1")
    before = journal.path.read_bytes()
    for _ in range(2):
        with pytest.raises(SiteLost, match=r"entry 2 of .* under lease 4, this process has lease 3") as caught:
            first.append("release.finished", release="r1")
    assert "lock file" in caught.value.remedy
    assert journal.path.read_bytes() == before
    second.append("release.finished", release="r1")


def test_a_holder_who_finds_a_later_one_in_the_history_writes_nothing_at_all(journal: Journal) -> None:
    holding(journal.path, 50).append("a")
    with pytest.raises(SiteLost):
        holding(journal.path, 1).append("b")
    assert journal.highest_token() == 50


def test_a_token_inside_a_fact_does_not_take_the_site(journal: Journal) -> None:
    holding(journal.path, 2).append("a", lease={"token": 99}, text='"token":99')
    holding(journal.path, 2).append("b")
    holding(journal.path, 3).append("c")
    assert numbers(journal) == [1, 2, 3]


def test_newer_holders_and_processes_without_a_lease_may_write(journal: Journal) -> None:
    for token in (1, 2, 2, 0, 5, 0):
        holding(journal.path, token).append("a")
    assert [entry.token for entry in journal.entries()] == [1, 2, 2, 0, 5, 0]


def write_many(path: Path, count: int) -> None:
    journal = Journal(path)
    for number in range(count):
        journal.append("many", text="y" * 300, number=number)


def test_two_writers_neither_mix_their_lines_nor_share_a_number(journal: Journal) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_many, args=(journal.path, 60)) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(30)
    assert numbers(journal) == list(range(1, 121))
    assert journal.damage() == []


def test_descriptors_are_given_back(journal: Journal) -> None:
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else 0  # noqa: PTH208
    for _ in range(50):
        journal.append("a")
    after = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else 0  # noqa: PTH208
    assert after == before


def test_an_entry_without_a_free_descriptor_is_a_journal_error(journal: Journal) -> None:
    journal.append("a")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        with pytest.raises(JournalError, match="Too many open files"):
            journal.append("b")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    journal.append("c")
    assert [entry.event for entry in journal.entries()] == ["a", "c"]


hostile = st.text(st.characters(), max_size=60)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | hostile,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(hostile, inner, max_size=3),
    max_leaves=6,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(hostile, hostile, hostile, st.dictionaries(hostile.filter(lambda name: name not in {*FIELDS, "event"}), values))
def test_any_text_comes_back_as_it_was_written(
    journal: Journal, event: str, release: str, step: str, facts: dict[str, object]
) -> None:
    facts = {name: value for name, value in facts.items() if name not in ("self",)}
    appended = journal.append(event, release=release, step=step, **facts)
    assert journal.entries()[-1] == appended
    assert journal.damage() == []


pieces = st.lists(
    st.one_of(
        st.just("entry"),
        st.binary(max_size=30),
        st.binary(min_size=1, max_size=20).map(lambda noise: b'{"seq":' + noise),
        st.integers(1, 600).map(lambda count: b"\0" * count),
        st.just(b"\n"),
    ),
    max_size=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(pieces)
def test_a_long_running_reader_sees_what_a_new_reader_sees(journal: Journal, added: list[str | bytes]) -> None:
    journal.path.unlink(missing_ok=True)
    journal.append("first")
    for piece in added:
        if isinstance(piece, str):
            journal.append("entry", text=piece)
        else:
            with journal.path.open("ab") as file:
                file.write(piece)
        fresh = Journal(journal.path)
        assert journal.entries() == fresh.entries()
        assert list(reversed(journal.entries())) == list(fresh.entries())[::-1]
        assert (journal.damage(), journal.scars()) == (fresh.damage(), fresh.scars())
    appended = journal.append("last")
    assert journal.entries()[-1] == appended


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(st.integers(1, 5), st.data())
def test_a_crash_in_any_byte_of_an_entry_loses_no_other_and_is_no_damage(
    journal: Journal, entries: int, data: st.DataObject
) -> None:
    """What a power cut leaves of the entry that was being written: a part of it, NUL bytes in place of the others."""
    journal.path.unlink(missing_ok=True)
    for _ in range(entries):
        journal.append("whole", text="x" * 50)
    whole = journal.path.read_bytes()
    journal.append("torn", text='a "quoted" \\ brace }', inner={"deep": [1, {}]})
    torn = journal.path.read_bytes()[len(whole) :]
    kept = data.draw(st.integers(0, len(torn) - 2), label="kept of the beginning")
    lost = data.draw(st.integers(1, len(torn) - kept), label="lost behind it")
    has_end = data.draw(st.booleans(), label="the end was written")
    left = torn[:kept] + b"\0" * lost + (torn[kept + lost :] if has_end else b"")
    journal.path.write_bytes(whole + left)
    for event in ("after", "that"):
        Journal(journal.path).append(event)
    reader = Journal(journal.path)
    assert [entry.event for entry in reader.entries()] == ["whole"] * entries + ["after", "that"]
    assert reader.damage() == []
    assert len(reader.scars()) == 1


def test_every_line_is_one_json_object(journal: Journal) -> None:
    journal.append("a", text="line\nbreak\u2028and\u0085more")
    (line,) = journal.path.read_bytes().split(b"\n")[:-1]
    assert json.loads(line)["text"] == "line\nbreak\u2028and\u0085more"


def test_an_atomic_write_replaces_the_whole_file_or_nothing(quick_folder: Path) -> None:
    path = quick_folder / "new" / "record.json"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert [each.name for each in path.parent.iterdir()] == ["record.json"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
