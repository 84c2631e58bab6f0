"""Torn, malformed and hostile raw files: nothing is dropped in silence, and nothing crashes."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cakravia_verify.errors import TrafficError
from cakravia_verify.traffic.ledger.findings import Kind, LedgerFindings
from cakravia_verify.traffic.ledger.ledger import Ledger
from tests.traffic.ledger.ledger_files import Run, handled, passed, request


def kinds(evidence: LedgerFindings) -> dict[Kind, int]:
    return {finding.kind: finding.total for finding in evidence.findings}


def three_way(folder: Path, number: int = 5) -> Run:
    numbers = range(number)
    run = Run(folder, [request(n) for n in numbers], [passed(n) for n in numbers], [handled(n) for n in numbers])
    run.write()
    return run


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


@pytest.mark.parametrize(
    ("file", "rest"),
    [
        ("requests", b"r1-9,1,1,GET,pa"),
        ("access_log", b'{"at":1760000000.1,"id":"r1-9","sta'),
        ("application", b"begin\t77\tr1"),
    ],
)
def test_a_torn_last_line_is_noted_and_no_finding(tmp_path: Path, file: str, rest: bytes) -> None:
    run = three_way(tmp_path)
    append(run.paths[file], rest)
    with run.build_from_files() as ledger:
        evidence = ledger.evidence
    assert evidence.findings == ()
    assert [source.is_torn for source in evidence.sources if source.path == str(run.paths[file])] == [True]


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("requests", b"r1-9,one,1,GET,page\n"),
        ("requests", b"r1-9,1,1,GET,page,x,2,,3,4,5,200,1,blue,v1,blue,answered,,1\n"),
        ("access_log", b"no json\n"),
        ("access_log", b"[1]\n"),
        ("access_log", b'{"at":"now","id":"r1-9","status":200}\n'),
        ("access_log", b'{"at":1,"id":"r1-9","status":99999999}\n'),
        ("access_log", b"[" * 100_000 + b"\n"),
        ("application", b"begun\t1\tr1-1\tblue\tv1\tGET\t/\t\n"),
        ("application", b"begin\tx\tr1-1\tblue\tv1\tGET\t/\t\n"),
        ("application", b"begin\t1\tr1-1\tblue\n"),
        ("application", b"begin\t1\tr1-1\tbl\xffue\tv1\tGET\t/\t\n"),
    ],
    ids=lambda value: value if isinstance(value, str) else repr(value[:30]),
)
def test_a_malformed_line_inside_a_file_is_a_finding_with_its_text(tmp_path: Path, file: str, line: bytes) -> None:
    run = three_way(tmp_path)
    path = run.paths[file]
    whole = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*whole[:3], line, *whole[3:]]))
    with run.build_from_files() as ledger:
        (finding,) = ledger.evidence.findings
        assert ledger.evidence.total == 5
    assert (finding.kind, finding.total, finding.seen) == (Kind.MALFORMED, 1, str(path))
    assert str(finding.rows[0]["raw"])[:3] == line[:3].decode()


def test_a_strangers_address_that_is_no_utf8_is_a_row_like_others(tmp_path: Path) -> None:
    run = three_way(tmp_path)
    append(run.paths["access_log"], json.dumps(passed("", uri="/?")).encode().replace(b"/?", b"/\xff\xfe") + b"\n")
    with run.build_from_files() as ledger:
        evidence = ledger.evidence
    assert evidence.findings == ()
    assert [source.foreign for source in evidence.sources if source.role == "proxy"] == [1]


@pytest.mark.parametrize("uri", ["\\\\ud800", "\\ud800", "\\u0000", "\\u2028"])
def test_odd_escapes_in_an_address_are_read(tmp_path: Path, uri: str) -> None:
    run = three_way(tmp_path)
    append(run.paths["access_log"], json.dumps(passed("", uri="?")).replace('"?"', f'"{uri}"').encode() + b"\nx\n")
    with run.build_from_files() as ledger:
        assert kinds(ledger.evidence) == {Kind.MALFORMED: 1}


def test_fewer_rows_than_the_client_finished_is_a_truncated_ledger(tmp_path: Path) -> None:
    with Run(tmp_path, [request(0)], traffic={"finished": 2, "started": 2}).build() as ledger:
        assert kinds(ledger.evidence) == {Kind.TRUNCATED: 1}
        assert not ledger.evidence.is_complete


def test_rows_lost_to_an_open_quote_are_missed(tmp_path: Path) -> None:
    run = Run(tmp_path, [request(n) for n in range(5)])
    text = run.write()["requests"].read_text()
    run.paths["requests"].write_text(text.replace("answered,,1\nr1-3", 'answered,"oh,1\nr1-3'))
    with run.build_from_files() as ledger:
        assert Kind.TRUNCATED in kinds(ledger.evidence)


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"planned": "many"}', "null"])
def test_without_a_readable_traffic_summary_completeness_is_unproven(tmp_path: Path, content: str | None) -> None:
    run = Run(tmp_path, [request(0)])
    path = run.write()["traffic"]
    path.unlink() if content is None else path.write_text(content)
    with run.build_from_files() as ledger:
        assert kinds(ledger.evidence) == {Kind.NO_SUMMARY: 1}
        assert not ledger.evidence.is_complete


@pytest.mark.parametrize(("facts", "kind"), [({"started": 3}, Kind.UNFINISHED), ({"ended": "orphaned"}, Kind.BAD_END)])
def test_traffic_that_did_not_end_well_is_a_finding(tmp_path: Path, facts: dict[str, object], kind: Kind) -> None:
    with Run(tmp_path, [request(0)], traffic=facts).build() as ledger:
        assert list(kinds(ledger.evidence)) == [kind]


def test_planned_requests_that_never_started_are_reported(tmp_path: Path) -> None:
    with Run(tmp_path, [request(0)], traffic={"planned": 10, "rate_achieved": 500.0}).build() as ledger:
        schedule = ledger.evidence.schedule
    assert (schedule.planned - schedule.started, schedule.rate_achieved / schedule.rate_planned) == (9, 0.5)


def test_a_run_without_any_request_is_never_complete(tmp_path: Path) -> None:
    with Run(tmp_path, []).build() as ledger:
        assert not ledger.evidence.is_complete


def test_an_id_used_twice_is_a_finding_and_both_rows_stay(tmp_path: Path) -> None:
    with Run(tmp_path, [request(0), request(0)]).build() as ledger:
        assert kinds(ledger.evidence) == {Kind.DUPLICATE_ID: 1}
        assert ledger.evidence.total == 2


def test_a_log_that_is_not_there_is_a_finding_and_accuses_nobody(tmp_path: Path) -> None:
    run = three_way(tmp_path)
    run.paths["access_log"].unlink()
    with run.build_from_files() as ledger:
        assert kinds(ledger.evidence) == {Kind.MISSING_SOURCE: 1}
        assert ledger.evidence.masked is None


def test_without_client_records_there_is_no_ledger(tmp_path: Path) -> None:
    with pytest.raises(TrafficError, match=r"requests\.csv is not there"):
        Ledger.build(tmp_path, requests=tmp_path / "requests.csv")


def test_a_file_with_other_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "requests.csv").write_text("id,when\n1,2\n")
    with pytest.raises(TrafficError, match="columns of a request record"):
        Ledger.build(tmp_path, requests=tmp_path / "requests.csv")


def test_a_later_version_may_add_columns(tmp_path: Path) -> None:
    run = Run(tmp_path, [request(0)])
    path = run.write()["requests"]
    head, row = path.read_text().splitlines()
    path.write_text(f"new,{head}\nx,{row}\n")
    with run.build_from_files() as ledger:
        assert ledger.evidence.findings == ()


def test_empty_logs_are_logs(tmp_path: Path) -> None:
    with Run(tmp_path, [request(0)], [], []).build() as ledger:
        assert kinds(ledger.evidence) == {Kind.MISSING_AT_PROXY: 1}
        assert ledger.evidence.executed == 0


def test_every_raw_file_is_fingerprinted(tmp_path: Path) -> None:
    run = three_way(tmp_path)
    with run.build_from_files() as ledger:
        sources = ledger.evidence.sources
    assert len(sources) == 4
    for source in sources:
        assert source.sha256 == hashlib.sha256(Path(source.path).read_bytes()).hexdigest()


def test_a_folder_with_a_quote_in_its_name_works(tmp_path: Path) -> None:
    folder = tmp_path / "it's"
    folder.mkdir()
    with three_way(folder).build_from_files() as ledger:
        assert ledger.evidence.is_complete


def test_nothing_but_the_ledger_is_left_in_the_folder(tmp_path: Path) -> None:
    three_way(tmp_path).build_from_files().close()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["ledger", "ledger.json"]
    assert json.loads((tmp_path / "out" / "ledger.json").read_text())["lost_in_words"].startswith("0 of 5")


@pytest.mark.check
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    file=st.sampled_from(["requests", "access_log", "application"]), noise=st.binary(max_size=60), at=st.integers(0, 5)
)
@example("access_log", b'{"id":', 2)
@example("application", b"\x00\xff\t", 1)
@example("requests", b'"', 3)
@example("requests", b"\r", 3)
def test_noise_between_lines_is_never_silent_when_it_costs_a_row(file: str, noise: bytes, at: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = three_way(Path(folder))
        path = run.paths[file]
        whole = path.read_bytes().splitlines(keepends=True)
        at += file == "requests"  # the header stays: another one is refused, which has its own test
        path.write_bytes(b"".join([*whole[:at], noise, *whole[at:]]))
        try:
            with run.build_from_files() as ledger:
                evidence = ledger.evidence
        except TrafficError:
            return
    rows = {source.role: source.rows for source in evidence.sources}
    is_whole = rows["client"] == rows["proxy"] == rows["application"] == 5
    assert is_whole or evidence.findings
