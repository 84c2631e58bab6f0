"""Every request is in the ledger once, and the three records are held against each other."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cakravia_verify.errors import TrafficError
from cakravia_verify.traffic.ledger.findings import Kind, LedgerFindings
from cakravia_verify.traffic.ledger.ledger import Ledger
from cakravia_verify.traffic.records.rows import Outcome
from tests.traffic.ledger.ledger_files import Run, handled, passed, request


def kinds(evidence: LedgerFindings) -> dict[Kind, int]:
    return {finding.kind: finding.total for finding in evidence.findings}


def test_a_clean_run_has_no_findings_and_is_complete(tmp_path: Path) -> None:
    numbers = range(20)
    run = Run(tmp_path, [request(n) for n in numbers], [passed(n) for n in numbers], [handled(n) for n in numbers])
    with run.build() as ledger:
        evidence = ledger.evidence
    assert evidence.counts.answered == evidence.total == evidence.executed == 20
    assert evidence.findings == ()
    assert evidence.is_complete


def test_each_outcome_is_counted_by_slot_version_and_name(tmp_path: Path) -> None:
    rows = [
        request(0),
        request(1, outcome="lost", done=None, status=None, slot=None, version=None, served_slot=None),
        request(2, outcome="error", status=404, name="missing"),
        request(3, outcome="unreached", sent=None, done=None, status=None, slot=None, served_slot=None, version=None),
        request(4, slot="green", served_slot="green", version="v2"),
    ]
    with Run(tmp_path, rows).build() as ledger:
        evidence = ledger.evidence
    assert [getattr(evidence.counts, outcome) for outcome in Outcome] == [2, 1, 1, 1]
    assert evidence.by_slot["green"].answered == 1
    assert evidence.by_slot[""].lost == 1
    assert evidence.by_version["v2"].total == 1
    assert evidence.by_name["missing"].error == 1
    assert evidence.lost.first[0]["id"] == "r1-1"


def test_a_lost_request_that_the_application_began_counts_as_executed(tmp_path: Path) -> None:
    rows = [request(0, outcome="lost", done=None, status=None)]
    with Run(tmp_path, rows, None, [handled(0)]).build() as ledger:
        assert ledger.evidence.lost_but_executed == 1


def test_without_logs_what_they_would_tell_is_unknown_rather_than_zero(tmp_path: Path) -> None:
    with Run(tmp_path, [request(0)]).build() as ledger:
        evidence = ledger.evidence
    assert (evidence.executed, evidence.duplicated, evidence.masked) == (None, None, None)


def test_a_request_begun_twice_is_duplicated(tmp_path: Path) -> None:
    with Run(tmp_path, [request(0), request(1)], None, [handled(0), handled(1), handled(1)]).build() as ledger:
        duplicated = ledger.evidence.duplicated
    assert duplicated is not None
    assert [row["id"] for row in duplicated.first] == ["r1-1"]


def test_a_request_tried_at_two_upstreams_is_masked_and_no_slot_disagreement(tmp_path: Path) -> None:
    tried = passed(0, upstream="127.0.0.1:3000, 127.0.0.1:3001", upstream_status="502, 200")
    rows = [request(0, slot="green", served_slot="green")]
    with Run(tmp_path, rows, [tried]).build() as ledger:
        evidence = ledger.evidence
    assert evidence.masked is not None
    assert evidence.masked.total == 1
    assert evidence.findings == ()


@pytest.mark.parametrize(
    ("client", "proxy", "application", "kind"),
    [
        ({}, [], None, Kind.MISSING_AT_PROXY),
        ({}, [passed(0)], [], Kind.MISSING_AT_APPLICATION),
        ({}, [passed(0), passed(0)], None, Kind.REPEATED_AT_PROXY),
        ({}, [passed(0), passed(9)], None, Kind.UNKNOWN_AT_PROXY),
        ({}, None, [handled(0), handled(9)], Kind.UNKNOWN_AT_APPLICATION),
        ({}, [passed(0, status=500)], None, Kind.STATUS_DISAGREES),
        ({"slot": "green"}, None, None, Kind.SLOT_DISAGREES),
        ({}, None, [handled(0, slot="green")], Kind.SLOT_DISAGREES),
        ({}, None, [handled(0, version="v2")], Kind.VERSION_DISAGREES),
        ({"outcome": "unreached"}, [passed(0)], None, Kind.UNREACHED_BUT_SEEN),
        ({"outcome": "splendid"}, None, None, Kind.UNKNOWN_OUTCOME),
        ({"done": None}, None, None, Kind.CONTRADICTION),
    ],
)
def test_each_contradiction_is_a_finding_with_its_row(
    tmp_path: Path, client: dict[str, Any], proxy: Any, application: Any, kind: Kind
) -> None:
    with Run(tmp_path, [request(0, **client)], proxy, application).build() as ledger:
        (finding,) = ledger.evidence.findings
    assert (finding.kind, finding.total, len(finding.rows)) == (kind, 1, 1)


def test_an_answer_by_the_proxy_itself_needs_no_application_row(tmp_path: Path) -> None:
    answered_by_nginx = passed(0, upstream="", upstream_status="")
    with Run(tmp_path, [request(0, slot=None, served_slot=None)], [answered_by_nginx], []).build() as ledger:
        assert ledger.evidence.findings == ()


def test_rows_of_foreign_users_are_marked_and_owe_no_proxy_row(tmp_path: Path) -> None:
    with Run(tmp_path, [request(0, strict=0)], [], []).build() as ledger:
        evidence = ledger.evidence
    assert (evidence.not_strict.answered, evidence.strict.total) == (1, 0)
    assert evidence.findings == ()


def test_requests_of_other_people_are_ignored_but_counted(tmp_path: Path) -> None:
    others = [passed(""), passed("health-1"), passed("r12-1"), passed("r1")]
    with Run(tmp_path, [request(0)], [passed(0), *others], [handled(0), handled("-")]).build() as ledger:
        evidence = ledger.evidence
    assert evidence.findings == ()
    assert {source.role: source.foreign for source in evidence.sources} == {
        "client": 0,
        "proxy": 4,
        "application": 1,
        "events": 0,
    }


def test_without_a_run_name_the_clients_own_ids_tell_whose_rows_count(tmp_path: Path) -> None:
    with Run(tmp_path, [request(0)], [passed(0), passed(7), passed("x-1")]).build(run="") as ledger:
        assert kinds(ledger.evidence) == {Kind.UNKNOWN_AT_PROXY: 1}


def test_idle_closes_are_counted_apart(tmp_path: Path) -> None:
    events = [(5, 1, "idle_close", ""), (6, 1, "opened", ""), (7, 2, "idle_close", "x")]
    with Run(tmp_path, [request(0)], events=events).build() as ledger:
        assert ledger.evidence.idle_closes == 2


def test_importing_the_ledger_does_not_import_the_engine() -> None:
    modules = "cakravia_verify.traffic.ledger.ledger, cakravia_verify.analysis.comparison"
    code = f"import sys, {modules}; print('duckdb' in sys.modules)"
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert seen.stdout.strip() == "False"


def test_a_ledger_can_be_opened_again_for_queries(tmp_path: Path) -> None:
    Run(tmp_path, [request(0), request(1)]).build().close()
    with Ledger.open(tmp_path / "out") as ledger:
        assert ledger.query("SELECT count(*) FROM ledger") == [(2,)]
        with pytest.raises(TrafficError, match="not evidence"):
            _ = ledger.evidence


def test_a_second_build_replaces_the_first(tmp_path: Path) -> None:
    Run(tmp_path, [request(0), request(300_000)]).build().close()
    with Run(tmp_path, [request(0)]).build() as ledger:
        assert ledger.query("SELECT count(*) FROM ledger") == [(1,)]


# Held against the plainest possible reading of the same files.

numbers = st.integers(min_value=0, max_value=2)  # few, so that ids meet
slots = st.sampled_from(["blue", "green", None])
client_rows = st.builds(
    request,
    numbers,
    outcome=st.sampled_from(list(Outcome)),
    slot=slots,
    served_slot=slots,
    version=st.sampled_from(["v1", "v2", None]),
    status=st.sampled_from([200, 500, None]),
    done=st.sampled_from([None, 10_000]),
    detail=st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00\r"), max_size=5),
    strict=st.sampled_from([0, 1]),
)
strange = st.sampled_from(["", "-", "other-1", "r1-x", "r1-01", "r1-999999999999999999999", 'r1-"'])
idents = st.one_of(numbers, numbers, numbers, strange)
proxy_rows = st.builds(
    passed,
    idents,
    status=st.sampled_from([200, 500]),
    slot=st.sampled_from(["blue", "green", ""]),
    upstream=st.sampled_from(["", "127.0.0.1:3000", "127.0.0.1:3000, 127.0.0.1:3001"]),
    uri=st.text(st.characters(blacklist_categories=["Cs"]), max_size=5),
)
application_rows = st.builds(
    handled,
    idents,
    event=st.sampled_from(["begin", "end"]),
    slot=st.sampled_from(["blue", "green"]),
    version=st.sampled_from(["v1", "v2"]),
)


def one_by_one(
    clients: list[dict[str, Any]], proxies: list[dict[str, Any]] | None, apps: list[tuple[Any, ...]] | None
) -> tuple[Counter[tuple[Any, ...]], Counter[Kind]]:
    """What the ledger must say: (id, outcome, executed, duplicated, masked) and findings, by loops and dictionaries."""
    rows: Counter[tuple[Any, ...]] = Counter()
    found: Counter[Kind] = Counter()
    known = {row["id"] for row in clients}
    found[Kind.DUPLICATE_ID] = len(clients) - len(known)
    for row in clients:
        ident, outcome = row["id"], row["outcome"]
        at_proxy = [line for line in proxies or [] if line["id"] == ident]
        at_app = [line for line in apps or [] if line[2] == ident]
        begins = sum(line[0] == "begin" for line in at_app)
        masked = any("," in line["upstream"] for line in at_proxy)
        complete = outcome in ("answered", "error")
        rows[
            (
                ident,
                outcome,
                None if apps is None else begins > 0,
                None if apps is None else begins > 1,
                None if proxies is None else masked,
            )
        ] += 1
        found[Kind.CONTRADICTION] += complete and (row["status"] is None or row["done"] is None)
        found[Kind.MISSING_AT_PROXY] += complete and row["strict"] == 1 and proxies is not None and not at_proxy
        found[Kind.UNREACHED_BUT_SEEN] += outcome == "unreached" and bool(at_proxy or begins)
        found[Kind.REPEATED_AT_PROXY] += len(at_proxy) > 1
        if len(at_proxy) <= 1:
            upstream = at_proxy[0]["upstream"] if at_proxy else None
            expected = proxies is None or bool(upstream)
            found[Kind.MISSING_AT_APPLICATION] += (
                complete and row["strict"] == 1 and apps is not None and begins == 0 and expected
            )
            found[Kind.STATUS_DISAGREES] += (
                complete and bool(at_proxy) and row["status"] is not None and row["status"] != at_proxy[0]["status"]
            )
    at_proxies, at_apps = [line["id"] for line in proxies or []], [line[2] for line in apps or []]
    for idents, kind in ((at_proxies, Kind.UNKNOWN_AT_PROXY), (at_apps, Kind.UNKNOWN_AT_APPLICATION)):
        found[kind] = sum(ident.startswith("r1-") and ident not in known for ident in idents)
    return rows, +found


@pytest.mark.check
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    clients=st.lists(client_rows, min_size=2, max_size=8),
    proxies=st.none() | st.lists(proxy_rows, min_size=4, max_size=10),
    apps=st.none() | st.lists(application_rows, min_size=4, max_size=10),
)
def test_the_ledger_says_what_a_plain_reading_says(
    clients: list[dict[str, Any]], proxies: list[dict[str, Any]] | None, apps: list[tuple[Any, ...]] | None
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder), clients, proxies, apps)
        with run.build() as ledger:
            rows = ledger.query("SELECT id, outcome, executed, duplicated, masked FROM ledger")
            evidence = ledger.evidence
    expected, findings = one_by_one(clients, proxies, apps)
    assert Counter(rows) == expected
    repeated = len(proxies or []) != len({line["id"] for line in proxies or []})
    compared = set(findings) | set(kinds(evidence)) - {Kind.SLOT_DISAGREES, Kind.VERSION_DISAGREES}
    if repeated:  # which of several lines of one id is compared is not promised
        compared -= {Kind.MISSING_AT_APPLICATION, Kind.STATUS_DISAGREES}
    assert {kind: kinds(evidence).get(kind, 0) for kind in compared} == {kind: findings[kind] for kind in compared}
    assert evidence.total == len(clients)
