"""The records: what is written is what is read, even while it is being written."""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cakravia_verify.errors import TrafficError
from cakravia_verify.traffic.records.rows import HEADER, Outcome, RecordTail, Row, format_row, parse_rows, read_rows
from cakravia_verify.traffic.records.writer import Recorder

if TYPE_CHECKING:
    from pathlib import Path

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), max_size=30)
INSTANT = st.integers(0, 1 << 60)
ROWS = st.builds(
    Row,
    id=TEXT,
    connection=st.integers(0, 1 << 40),
    reused=st.booleans(),
    method=TEXT,
    name=TEXT,
    planned=INSTANT,
    started=INSTANT,
    connected=st.none() | INSTANT,
    sent=st.none() | INSTANT,
    first_byte=st.none() | INSTANT,
    done=st.none() | INSTANT,
    status=st.none() | st.integers(100, 599),
    bytes=INSTANT,
    slot=TEXT,
    version=TEXT,
    served_slot=TEXT,
    outcome=st.sampled_from(list(Outcome)),
    detail=TEXT,
    strict=st.booleans(),
)


@given(st.lists(ROWS, max_size=20))
def test_a_written_row_reads_back_as_itself(rows: list[Row]) -> None:
    assert parse_rows("".join(map(format_row, rows)).split("\n")) == rows


@given(ROWS, st.text(max_size=20))
def test_a_row_is_one_line_whatever_a_server_puts_into_it(row: Row, text: str) -> None:
    assert format_row(dataclasses.replace(row, slot=text, detail=text)).count("\n") == 1


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(ROWS, max_size=8), cuts=st.lists(st.integers(0, 4000), max_size=6))
def test_a_tail_reads_every_row_once_wherever_the_writes_are_torn(
    tmp_path: Path, rows: list[Row], cuts: list[int]
) -> None:
    data = (HEADER + "\n" + "".join(map(format_row, rows))).encode()
    path = tmp_path / "requests.csv"
    path.write_bytes(b"")
    tail = RecordTail(path)
    seen: list[Row] = []
    edges = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    with path.open("ab", buffering=0) as file:
        for start, end in itertools.pairwise(edges):
            file.write(data[start:end])
            seen += tail.read()
    assert seen == rows


def test_a_torn_last_line_is_no_row(tmp_path: Path) -> None:
    path = tmp_path / "requests.csv"
    path.write_text(HEADER + "\nt-1,1,0,GET,page,1,2")
    assert read_rows(path) == []


def test_a_file_that_is_not_there_yet_has_no_rows(tmp_path: Path) -> None:
    assert RecordTail(tmp_path / "requests.csv").read() == []


@pytest.mark.parametrize("line", ["nonsense", "a,b", "t-1,x,0,GET,p,1,1,,,,,,0,,,,answered,,1", '"open'])
def test_a_line_that_is_no_row_is_refused_aloud(tmp_path: Path, line: str) -> None:
    path = tmp_path / "requests.csv"
    path.write_text(f"{HEADER}\n{line}\n")
    with pytest.raises(TrafficError):
        read_rows(path)


def test_a_recorder_writes_whole_lines_at_each_flush(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "x.csv", header="a")
    recorder.write("1\n")
    assert (tmp_path / "x.csv").read_text() == "a\n"
    recorder.flush()
    assert (tmp_path / "x.csv").read_text() == "a\n1\n"
    recorder.close()


def test_a_recorder_that_cannot_write_says_where(tmp_path: Path) -> None:
    with pytest.raises(TrafficError, match="no-such-folder"):
        Recorder(tmp_path / "no-such-folder" / "x.csv", header="a")
