"""Folders and files of the state: durable, and for their owner alone."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cakravia_verify.system.files import LONGEST_RECORD, make_folder, open_private, read_json, write_atomically


@pytest.fixture(params=[0o000, 0o002, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("umask")
def test_what_is_made_is_for_its_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    make_folder(tmp_path / "state" / "slots" / "blue")
    write_atomically(tmp_path / "state" / "flags" / "green", b"x")
    with open_private(tmp_path / "state" / "app.log") as log:
        log.write(b"x")
    made = [tmp_path / "state", *(tmp_path / "state").rglob("*")]
    assert {mode(each) for each in made if each.is_dir()} == {0o700}
    assert {mode(each) for each in made if each.is_file()} == {0o600}


def test_a_folder_that_exists_keeps_its_permissions(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(0o750)
    make_folder(tmp_path / "state")
    assert mode(tmp_path / "state") == 0o750


def test_a_log_is_continued(tmp_path: Path) -> None:
    (tmp_path / "app.log").write_text("one\n")
    with open_private(tmp_path / "app.log") as log:
        log.write(b"two\n")
    assert (tmp_path / "app.log").read_text() == "one\ntwo\n"


def _deep(path: Path) -> None:
    path.write_text("[" * 100_000 + "]" * 100_000)


def _long(path: Path) -> None:
    path.write_text(f'["{"x" * LONGEST_RECORD}"]')


@pytest.mark.parametrize(
    "make",
    [os.mkfifo, Path.mkdir, Path.touch, _deep, _long, lambda path: path.write_bytes(b"\xff\xfe\x00")],
    ids=["fifo", "folder", "empty", "deep", "long", "binary"],
)
def test_an_odd_file_of_the_state_is_an_error_and_never_a_hang(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "slot.json")
    with pytest.raises((OSError, ValueError)):
        read_json(tmp_path / "slot.json")


def test_a_device_is_no_file_of_the_state(tmp_path: Path) -> None:
    (tmp_path / "slot.json").symlink_to("/dev/zero")
    with pytest.raises(OSError, match="no regular file"):
        read_json(tmp_path / "slot.json")


def test_a_file_of_the_state_is_read(tmp_path: Path) -> None:
    write_atomically(tmp_path / "slot.json", b'{"version": "v1"}')
    assert read_json(tmp_path / "slot.json") == {"version": "v1"}
