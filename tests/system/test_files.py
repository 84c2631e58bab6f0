"""Folders and files of the state: durable, and for their owner alone."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from cakravia_verify.system.files import make_folder, open_private, write_atomically


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
