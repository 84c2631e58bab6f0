"""verdict.json: whole, strict, and closed by default."""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cakravia_verify.analysis.model import ReportWindow
from cakravia_verify.errors import CakraviaError, UsageError
from cakravia_verify.gate.model import Budget, Check, CheckStatus, Evidence, Measured
from cakravia_verify.gate.rules import judge
from cakravia_verify.history.releases import PROMOTED
from cakravia_verify.report.document import Event, ReleaseDocument
from cakravia_verify.report.sealing import seal
from cakravia_verify.report.verdict import model
from cakravia_verify.report.verdict.file import read_verdict, still_holds
from cakravia_verify.report.verdict.schema import schema_text, verdict_schema
from cakravia_verify.report.verdict.surrounding import altered_files
from cakravia_verify.report.verdict.writing import as_json, write_verdict
from tests.report import samples

VALIDATOR = jsonschema.Draft202012Validator(verdict_schema())
ALL = (samples.promoted, samples.rolled_back, samples.inconclusive, samples.needs_a_person, samples.empty)


def holds(path: Path, *, version: str = "v1.2.0", digest: str = samples.NEW_DIGEST) -> list[str]:
    return still_holds(read_verdict(path), version=version, digest=digest)


def read(path: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(path.read_text())
    return told


def edited(path: Path, **changes: Any) -> Path:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return path


@pytest.fixture
def promoted(tmp_path: Path) -> Path:
    return write_verdict(samples.promoted(), tmp_path)


@pytest.mark.parametrize("sample", ALL)
def test_every_verdict_conforms_to_the_shipped_schema(sample: Any) -> None:
    jsonschema.Draft202012Validator.check_schema(verdict_schema())
    assert [error.message for error in VALIDATOR.iter_errors(as_json(sample()))] == []


@pytest.mark.parametrize("sample", ALL)
def test_a_written_verdict_reads_back_as_it_was(sample: Any, tmp_path: Path) -> None:
    document: ReleaseDocument = sample()
    read = read_verdict(write_verdict(document, tmp_path))
    assert (read.decision, read.why, read.checks) == (
        document.verdict.decision,
        document.verdict.why,
        document.verdict.checks,
    )
    assert read.raw == json.loads(json.dumps(as_json(document)))


def test_a_promotion_that_excuses_failures_of_the_version_before_holds_when_it_is_read(tmp_path: Path) -> None:
    document = samples.promoted()
    assert document.evidence.measured is not None
    seen = replace(document.evidence.measured, lost=3, errors=5, excused={"lost": 3, "errors": 5})
    evidence = replace(document.evidence, measured=seen)
    path = write_verdict(replace(document, evidence=evidence, verdict=judge(evidence, document.budget)), tmp_path)
    assert holds(path) == []
    assert [error.message for error in VALIDATOR.iter_errors(read(path))] == []
    told = read(path)
    told["evidence"]["measured"]["excused"] = {}
    assert holds(edited(path, **told)) != []


@pytest.mark.parametrize(
    ("kind", "record"),
    [
        (Evidence, model.EvidenceRecord),
        (Measured, model.MeasuredRecord),
        (Budget, model.BudgetRecord),
        (Check, model.CheckRecord),
        (Event, model.EventRecord),
        (ReportWindow, model.WindowRecord),
    ],
)
def test_the_file_has_a_field_for_every_fact(kind: Any, record: Any) -> None:
    assert {field.name for field in fields(kind)} == set(record.__annotations__)


def test_the_shipped_schema_is_what_the_types_generate() -> None:
    shipped = resources.files("cakravia_verify.report.verdict").joinpath("verdict.schema.json")
    assert shipped.read_text(encoding="utf-8") == schema_text()


def test_the_file_calls_a_promoted_release_as_the_history_does() -> None:
    assert model.PROMOTED == PROMOTED


def test_the_same_release_is_written_the_same_byte_for_byte(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first = write_verdict(samples.rolled_back(), tmp_path / "a").read_bytes()
    assert first == write_verdict(samples.rolled_back(), tmp_path / "b").read_bytes()


def test_everybody_may_read_the_verdict(promoted: Path) -> None:
    assert promoted.stat().st_mode & 0o777 == 0o644


def test_a_number_that_is_none_is_told_as_not_measured() -> None:
    measured = replace(samples.promoted().evidence.measured or Measured(), p99=math.nan, p50=math.inf)
    document = samples.promoted()
    told = as_json(replace(document, evidence=replace(document.evidence, measured=measured)))
    assert (told["evidence"]["measured"]["p50"], told["evidence"]["measured"]["p99"]) == (None, None)


def test_a_reason_that_is_no_valid_text_can_be_written_and_read(tmp_path: Path) -> None:
    document = replace(samples.promoted(), reason="\udcff\x00\x1b[31m\u202e", lost_rows=({"\udc80": b"\xff"},))
    assert read_verdict(write_verdict(document, tmp_path)).raw["reason"] == "\ufffd\x00\x1b[31m\u202e"


def test_a_verdict_that_cannot_be_written_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(CakraviaError, match="cannot be written") as caught:
        write_verdict(samples.promoted(), tmp_path / "taken")
    assert caught.value.remedy


def test_a_promotion_holds_for_what_was_promoted(promoted: Path) -> None:
    assert holds(promoted) == []


@pytest.mark.parametrize("sample", ALL[1:])
def test_nothing_but_a_promotion_holds(sample: Any, tmp_path: Path) -> None:
    assert holds(write_verdict(sample(), tmp_path))


@pytest.mark.parametrize(
    "asked",
    [{"version": "v1.2.1"}, {"version": ""}, {"digest": samples.OLD_DIGEST}, {"digest": ""}],
)
def test_a_promotion_of_something_else_does_not_hold(promoted: Path, asked: dict[str, str]) -> None:
    assert holds(promoted, **asked)


def test_an_empty_digest_does_not_match_an_empty_digest(promoted: Path) -> None:
    assert holds(edited(promoted, digest=""), digest="")


@pytest.mark.parametrize(
    "change",
    [
        {"decision": "INCONCLUSIVE"},
        {"outcome": "rolled back"},
        {"exit_status": 10},
        {"checks": []},
        {"evidence": {"measured": None, "required": {}}},
        {"evidence": {"measured": {"sent": 0, "lost": 0}, "required": {}}},
    ],
)
def test_a_verdict_that_contradicts_itself_does_not_hold(promoted: Path, change: dict[str, Any]) -> None:
    assert holds(edited(promoted, **change))


def test_one_check_that_did_not_pass_is_enough(promoted: Path) -> None:
    checks = json.loads(promoted.read_text())["checks"]
    checks[-1]["standing"] = str(CheckStatus.UNKNOWN)
    assert holds(edited(promoted, checks=checks))[0].startswith(checks[-1]["title"])


# Told for people, and decided upon by nobody: in this verdict no errors are a share of anything, and nothing is judged.
UNWEIGHED = {
    ("evidence", "candidate"),
    ("evidence", "serving"),
    ("evidence", "measured", "sent_after_switch"),
    ("evidence", "measured", "judgement_gross"),
    ("evidence", "measured", "judgement_why"),
    ("evidence", "measured", "answered"),
    ("evidence", "measured", "p50"),
    ("evidence", "measured", "longest_gap"),
    ("evidence", "measured", "idle_closes"),
    ("evidence", "measured", "growth"),
    ("budget", "growth"),
    ("budget", "left_open"),
    ("budget", "judge_warm_up"),
}
ODD: tuple[Any, ...] = (None, True, -1, 0.5, 10**40, "x", [], {})


def leaves(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The place of every value in a verdict, those that hold others as well."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place, *(leaf for key, one in inner for leaf in leaves(one, (*place, key)))]


def allows(verdict: Any, folder: Path) -> bool:
    try:
        return not holds(edited(folder / "verdict.json", **verdict))
    except UsageError:
        return False


@pytest.mark.check
def test_no_part_of_a_promotion_can_be_something_else(tmp_path: Path) -> None:
    """Whatever one value under the decision is changed into, the verdict no longer follows from its evidence."""
    good = json.loads(write_verdict(samples.promoted(), tmp_path).read_text())
    weighed = {name: good[name] for name in ("decision", "why", "outcome", "release", "kind", "checks", "evidence")}
    weighed["budget"] = good["budget"]
    slipped = []
    for place in leaves(weighed)[1:]:
        for odd in (*ODD, "gone"):
            verdict = json.loads(json.dumps(weighed))
            holder = verdict
            for key in place[:-1]:
                holder = holder[key]
            if odd == "gone" and isinstance(holder, list):
                del holder[place[-1]]
            elif odd == holder[place[-1]] or odd == "gone":
                continue
            else:
                holder[place[-1]] = odd
            if allows(verdict, tmp_path) and place not in UNWEIGHED:
                slipped.append((place, odd))
    assert slipped == []


def test_evidence_may_leave_out_what_is_as_ever(promoted: Path) -> None:
    """A file of an earlier version lacks fields that came later; their defaults say what was so then."""
    evidence = json.loads(promoted.read_text())["evidence"]
    del evidence["interrupted"], evidence["objections"], evidence["measured"]["judgement_why"]
    assert holds(edited(promoted, evidence=evidence)) == []


@pytest.mark.parametrize("required", [{}, {"test_it": "passed"}])
def test_required_checks_that_were_taken_away_are_missed(promoted: Path, required: dict[str, str]) -> None:
    evidence = json.loads(promoted.read_text())["evidence"] | {"required": required}
    assert holds(edited(promoted, evidence=evidence))


def test_promotion_of_users_who_were_brought_back_does_not_hold(promoted: Path) -> None:
    switch = json.loads(promoted.read_text())["switch"] | {"returned_at": 9.0}
    assert holds(edited(promoted, switch=switch)) == [
        "the verdict contradicts itself: users were brought back",
    ]


def test_promotion_by_another_release_does_not_hold(promoted: Path) -> None:
    read = read_verdict(promoted)
    named = {"version": "v1.2.0", "digest": samples.NEW_DIGEST}
    assert still_holds(read, **named, release=read.release) == []
    assert still_holds(read, **named, release="another")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PROMOTE",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"schema": "cakravia-verdict/2"}',
        b'{"schema": "cakravia-verdict/1", "decision": "PROMOTE"}',
        b"[" * 100_000,
        b'{"seconds": NaN}',
        b'{"seconds": 1e999}',
        b'{"schema": "cakravia-verdict/1", "schema": "cakravia-verdict/1"}',
    ],
)
def test_what_is_not_a_verdict_is_refused_with_a_remedy(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "verdict.json").write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_verdict(tmp_path)
    assert caught.value.remedy


def test_no_verdict_is_an_error_and_not_a_pass(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_verdict(tmp_path / "verdict.json")


def test_a_decision_that_stands_twice_is_refused(promoted: Path) -> None:
    promoted.write_text(promoted.read_text().replace('"why":', '"decision": "PROMOTE",\n  "why":', 1))
    with pytest.raises(UsageError, match="twice"):
        read_verdict(promoted)


def test_a_cut_verdict_is_refused(promoted: Path) -> None:
    promoted.write_bytes(promoted.read_bytes()[:-40])
    with pytest.raises(UsageError):
        read_verdict(promoted)


def test_an_altered_file_of_the_report_is_named(tmp_path: Path) -> None:
    for name in ("requests.csv", "ledger.json", "junit.xml", "report.html", "gone.txt"):
        (tmp_path / name).write_text(name)
    path = write_verdict(replace(samples.promoted(), files=seal(tmp_path)), tmp_path)
    (tmp_path / "requests.csv").write_text("shorter")
    (tmp_path / "gone.txt").unlink()
    assert altered_files(read_verdict(path)) == [
        "gone.txt: is missing",
        "requests.csv: was changed after the release",
    ]


def test_files_outside_of_the_report_are_not_looked_at(promoted: Path) -> None:
    read = read_verdict(edited(promoted, files={"../elsewhere": "0" * 64}))
    assert "../elsewhere: is outside of the report" in altered_files(read)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def mutants(draw: st.DrawFn) -> Any:
    """A verdict with one value somewhere replaced, removed or added."""
    value = json.loads(json.dumps(as_json(draw(st.sampled_from(ALL))())))
    node: Any = value
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            return value
        key = draw(st.sampled_from(keys))
        if isinstance(node[key], dict | list) and node[key] and draw(st.booleans()):
            node = node[key]
            continue
        act = draw(st.sampled_from(("replace", "remove", "add")))
        if act == "remove":
            del node[key]
        elif act == "add" and isinstance(node, dict):
            node[draw(st.text(max_size=5))] = draw(JSON)
        else:
            node[key] = draw(JSON)
        return value


@settings(deadline=None)
@given(mutants())
def test_no_file_is_read_that_the_shipped_schema_refuses(value: Any) -> None:
    with TemporaryDirectory() as folder:
        file = Path(folder, "verdict.json")
        file.write_text(json.dumps(value))
        try:
            read_verdict(file)
        except UsageError:
            return
    assert VALIDATOR.is_valid(value)
