"""The record of a maintenance, as commands write it and the monitor reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cakravia_verify.site.maintenance import (
    FILE_NAME,
    Maintenance,
    begin_maintenance,
    end_maintenance,
    read_maintenance,
)


def test_maintenance_has_a_begin_and_an_end(tmp_path: Path) -> None:
    assert read_maintenance(tmp_path) is None
    begin_maintenance(tmp_path, now=10.0, who="ops@host")
    begin_maintenance(tmp_path, now=20.0, who="another@host")
    assert read_maintenance(tmp_path) == Maintenance(10.0, "ops@host")
    end_maintenance(tmp_path, now=30.0)
    end_maintenance(tmp_path, now=40.0)
    assert read_maintenance(tmp_path) == Maintenance(10.0, "ops@host", 30.0)


@pytest.mark.parametrize("content", ["", "[]", '{"began": "x", "who": "a", "ended": null}', '{"began": 1}', "[" * 9000])
def test_unreadable_record_is_no_maintenance(content: str, tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text(content)
    assert read_maintenance(tmp_path) is None


@pytest.mark.parametrize(
    ("ended", "since", "until", "is_part"),
    [(None, 0, 9, False), (None, 5, 10, True), (None, 90, 99, True), (20.0, 19, 29, True), (20.0, 21, 30, False)],
)
def test_part_of_a_time_belongs_to_a_maintenance(ended: float | None, since: int, until: int, is_part: bool) -> None:
    assert Maintenance(10.0, "ops", ended).overlaps(since, until) is is_part
