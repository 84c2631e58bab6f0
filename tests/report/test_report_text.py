"""What a release did: as sentences, on a page, in Markdown and on a terminal."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cakravia_verify.analysis.model import Bucket, ReportWindow
from cakravia_verify.gate.model import Check, CheckStatus, Exit, Measured
from cakravia_verify.gate.rules import judge
from cakravia_verify.report.document import Event, ReleaseDocument
from cakravia_verify.report.html.page import render_summary
from cakravia_verify.report.html.pytest_html import fill_columns, safe_environment, title_of
from cakravia_verify.report.html.timeline import timeline_of
from cakravia_verify.report.html.traffic_chart import traffic_chart_of
from cakravia_verify.report.text.check_lines import check_lines, claim_of
from cakravia_verify.report.text.figures import key_figures
from cakravia_verify.report.text.formats import seconds_in_words, visible
from cakravia_verify.report.text.sentences import Tone, headline, tone_of, what_happened, what_to_do
from cakravia_verify.report.text.summary import job_summary, terminal_summary
from tests.report import samples

ALL = (
    samples.promoted,
    samples.rolled_back,
    samples.inconclusive,
    samples.unproven,
    samples.needs_a_person,
    samples.empty,
)
TEXTS = st.text(max_size=40) | st.sampled_from(
    ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7*7 }}", "\x1b[2J", "a|b`c`\n# d", "\udc80"]
)
NUMBERS = st.none() | st.floats() | st.floats(0, 100)


class Tags(HTMLParser):
    """The tags and attributes of a page, its styles left out."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen |= {tag, *(f"@{name}" for name, _ in attrs)}


def tags(page: str) -> set[str]:
    parser = Tags()
    parser.feed(page)
    return parser.seen


@st.composite
def documents(draw: st.DrawFn) -> ReleaseDocument:
    def text() -> str:
        return draw(TEXTS)

    checks = [
        Check(text(), text(), draw(st.sampled_from(CheckStatus)), text(), text(), text())
        for _ in range(draw(st.integers(0, 3)))
    ]
    kinds = st.sampled_from(["begins", "done", "failed", "undone", "undo failed", text()])
    sample = draw(st.sampled_from(ALL))()
    names = ("version", "slot", "previous_version", "site", "reason", "who", "outcome")
    texts: dict[str, Any] = {name: text() for name in names}
    return replace(
        sample,
        **texts,
        next_step=text(),
        exit_status=draw(st.sampled_from(Exit)),
        verdict=replace(sample.verdict, why=text(), checks=tuple(checks)),
        findings=(text(),),
        drift=(text(),),
        timeline=tuple(
            Event(text(), draw(kinds), draw(st.floats(-5, 100)), draw(st.floats(0, 50)), text())
            for _ in range(draw(st.integers(0, 4)))
        ),
        buckets=tuple(
            Bucket(
                draw(st.floats(-5, 100)),
                0.1,
                draw(st.integers(0, 500)),
                1,
                1,
                draw(NUMBERS),
                draw(NUMBERS),
                {text(): 3},
            )
            for _ in range(draw(st.integers(0, 4)))
        ),
        windows=(ReportWindow(text(), 1, 1, 1, draw(NUMBERS), draw(NUMBERS), None),),
        lost_rows=({text(): text()}, {text(): None}),
        traffic={text(): text(), "nested": {text(): 1.5}},
        files={text(): text()},
    )


@pytest.mark.check
@settings(deadline=None, max_examples=40)
@given(documents())
def test_no_text_from_outside_becomes_part_of_the_page(document: ReleaseDocument) -> None:
    known = tags(render_summary(samples.rolled_back())) | tags(render_summary(samples.promoted())) | {"@colspan"}
    page = render_summary(document)
    assert tags(page) <= known
    assert not {name for name in tags(page) if name.startswith("@on")} | ({"script"} & tags(page))
    page.encode("utf-8")


@settings(deadline=None)
@given(documents(), st.integers(20, 160))
def test_no_text_from_outside_controls_the_terminal(document: ReleaseDocument, width: int) -> None:
    lines = terminal_summary(document, width=width, colour=False)
    assert not any(re.search(r"[\x00-\x1f\x7f-\x9f\u202e\ud800-\udfff]", line) for line in lines)


@settings(deadline=None)
@given(documents())
def test_no_text_from_outside_becomes_markdown(document: ReleaseDocument) -> None:
    summary = job_summary(document)
    bare = re.sub(
        r"</?(details|summary|code)>|<br>|^> ?(\[![A-Z]+\])?|^#+ |^- |\*\*|^\|[-|]+$", "", summary, flags=re.M
    )
    assert not set(bare.replace(" | ", " ").replace("| ", "").replace(" |", "")) & set("<>`*[]@\\")
    summary.encode("utf-8")


@pytest.mark.parametrize("sample", ALL)
def test_the_page_needs_nothing_from_outside(sample: Any) -> None:
    page = render_summary(sample())
    assert not re.search(r"https?://|url\(|@import|<script|<link|\bsrc=", page)


@pytest.mark.parametrize("sample", ALL)
def test_every_style_of_the_verdict_stays_inside_of_it(sample: Any) -> None:
    style = re.search(r"<style>(.*?)</style>", render_summary(sample()), re.S)
    assert style is not None
    bare = re.sub(r"@media [^{]+\{", "", style.group(1))
    selectors = [one.strip() for rule in re.findall(r"([^{}]+)\{", bare) for one in rule.split(",")]
    assert all(selector.startswith(".cakravia") for selector in selectors)


def test_a_promotion_says_that_all_users_have_it_and_none_lost_anything() -> None:
    assert what_happened(samples.promoted()) == "All users are on v1.2.0 (green). None of 30,124 requests was lost."


def test_a_rollback_says_where_users_are_and_what_they_lost() -> None:
    assert what_happened(samples.rolled_back()) == (
        "Users are back on v1.1.0. They were on v1.2.0 (green) for 3.79 s. "
        "23 of 11,842 requests were lost, 205 got an error answer."
    )


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"lost": 1}, "1 of 549 requests was lost."),
        ({"lost": 0, "unreached": 7}, "None of 549 requests was lost, 7 could not be sent."),
        (
            {"lost": 61, "excused": {"lost": 61}},
            "61 of 549 requests were lost. "
            "Not counted: 61 lost before the switch, because these are failures of the old version.",
        ),
        (
            {"lost": 0, "errors": 9, "excused": {"errors": 4}},
            "None of 549 requests was lost, 9 got an error answer. "
            "Not counted: 4 with an error answer before the switch, because these are failures of the old version.",
        ),
    ],
)
def test_what_users_suffered_is_told_whoever_is_to_blame(facts: dict[str, Any], words: str) -> None:
    document = samples.promoted()
    seen = replace(document.evidence, measured=Measured(sent=549, **facts))
    assert what_happened(replace(document, evidence=seen)) == f"All users are on v1.2.0 (green). {words}"


def test_what_is_not_counted_stands_beside_the_count() -> None:
    document = samples.promoted()
    seen = Measured(
        sent=549, lost=61, errors=9, lost_bound="61 of 549, < 14% at 95%", excused={"lost": 61, "errors": 4}
    )
    figures = {
        figure.label: (figure.value, figure.note)
        for figure in key_figures(replace(document, evidence=replace(document.evidence, measured=seen)))
    }
    assert figures["Lost"] == ("61 of 549", "< 14% at 95%; 61 not counted")
    assert figures["Errors"] == ("9", "1.639% of sent; 4 not counted")


def test_a_release_refused_before_the_switch_says_that_users_never_moved() -> None:
    document = samples.rolled_back()
    early = replace(
        document,
        timeline=document.timeline[:6],
        switch_seconds=None,
        returned_at=None,
        evidence=replace(document.evidence, confirmations=0, measured=Measured(sent=500, lost=0)),
    )
    assert what_happened(early) == (
        "Users stayed on v1.1.0. The release of v1.2.0 (green) ended before the switch. None of 500 requests was lost."
    )


def test_a_rollback_that_stands_says_where_users_are_and_that_it_proves_nothing() -> None:
    assert what_happened(samples.unproven()) == (
        "Users are back on v1.1.0 (green), which is healthy. The evidence for PROMOTE is not complete. "
        "None of 96 recorded requests was lost, but the records are not complete."
    )
    assert (tone_of(samples.unproven()), headline(samples.unproven())) == (Tone.UNSURE, "INCONCLUSIVE")
    assert "Users are not affected" in what_to_do(samples.unproven())


def test_a_switch_that_failed_half_way_is_not_told_as_no_switch() -> None:
    document = samples.rolled_back()
    half = replace(document, timeline=(Event("switch", "failed", 5.0, 0.1, ""),), returned_at=None)
    half = replace(half, evidence=replace(half.evidence, confirmations=0, measured=None))
    assert "Users stayed" not in what_happened(half)


def test_silence_is_not_told_as_success() -> None:
    document = samples.promoted()
    silent = replace(document, evidence=replace(document.evidence, measured=Measured(sent=0, lost=0)))
    assert "nothing is proven" in what_happened(silent)


@pytest.mark.parametrize("change", [{"exit_status": 1}, {"outcome": "rolled back"}, {"exit_status": 11}])
def test_only_a_release_that_is_promoted_in_every_respect_is_green(change: dict[str, Any]) -> None:
    assert tone_of(samples.promoted()) is Tone.GOOD
    assert tone_of(replace(samples.promoted(), **change)) is not Tone.GOOD


def test_a_person_who_is_needed_comes_before_any_verdict() -> None:
    assert headline(samples.needs_a_person()) == "A PERSON IS NEEDED"
    assert "A PERSON IS NEEDED" in title_of(samples.needs_a_person())


@pytest.mark.parametrize("sample", ALL)
def test_there_is_always_something_to_do_next(sample: Any) -> None:
    assert what_to_do(replace(sample(), next_step=""))


def test_a_count_stands_beside_what_it_proves() -> None:
    lost = key_figures(samples.promoted())[1]
    assert (lost.value, lost.note) == ("0 of 30,124", "< 0.010% at 95%")


def test_every_zero_stands_beside_what_it_proves() -> None:
    figures = {figure.label: figure for figure in key_figures(samples.promoted())}
    assert [figures[name].note for name in ("Duplicated", "Errors")] == ["< 0.010% at 95%"] * 2
    assert figures["Old slot after switch"].note == "< 0.013% at 95%"
    lines = check_lines(samples.promoted())
    zeros = [check for check in lines if check.value.startswith("0") or check.title.startswith("Sessions")]
    assert len(zeros) >= 7
    assert all("% at 95%" in check.value for check in zeros)
    page = render_summary(samples.promoted())
    assert "&lt; 0.30% at 95%" in page  # of 1,003 requests during the switch none was lost


def test_a_count_that_is_not_zero_has_no_bound_of_zero() -> None:
    errors = next(figure for figure in key_figures(samples.rolled_back()) if figure.label == "Errors")
    assert errors.note == "1.731% of sent"


def test_the_longest_silence_is_told_of_all_clients_and_of_one() -> None:
    document = replace(samples.promoted(), traffic={"longest_silence_of_one_client": {"seconds": 1.24}})
    figure = next(figure for figure in key_figures(document) if figure.label == "Longest silence")
    assert (figure.value, figure.note) == ("11.3 ms", "one client 1.24 s")
    assert "longest silence 11.3 ms (one client 1.24 s)" in " ".join(
        terminal_summary(document, width=400, colour=False)
    )


def test_what_was_not_measured_is_not_shown_as_zero() -> None:
    assert {figure.value for figure in key_figures(samples.empty())} == {"not measured", "not reached"}


def test_failed_checks_stand_with_value_and_threshold_on_the_terminal() -> None:
    lines = terminal_summary(samples.rolled_back(), width=120, colour=False)
    assert "FAILED     Error answers: 205 (1.731%), 205 (5.386%) since the switch (required: <= 0.000%)" in lines


def test_first_failed_check_stands_out_from_its_consequences() -> None:
    document = samples.rolled_back()
    unknown = Check("bake", "The candidate stayed healthy", CheckStatus.UNKNOWN, "not reached", "5 s")
    checks = (*document.verdict.checks, unknown, replace(unknown, name="more", title="No request was lost"))
    document = replace(document, verdict=replace(document.verdict, checks=checks))
    lines = terminal_summary(document, width=120, colour=True)
    failed = [line for line in lines if "FAILED " in line]
    assert [line for line in lines if line.startswith("\x1b[1;31mFAILED ")] == failed[:1]
    assert len(failed) > 1
    assert len([line for line in lines if line.startswith("UNKNOWN")]) == 1
    assert "The candidate stayed healthy; No request was lost" in " ".join(" ".join(lines).split())


def test_a_plain_terminal_gets_plain_lines() -> None:
    plain = terminal_summary(samples.rolled_back(), width=72, colour=False)
    coloured = terminal_summary(samples.rolled_back(), width=72, colour=True)
    assert plain == [re.sub(r"\x1b\[[\d;]*m", "", line) for line in coloured]
    assert max(map(len, plain)) <= 72


def test_a_step_without_an_end_reaches_to_the_end_of_the_picture() -> None:
    document = replace(samples.promoted(), timeline=(Event("bake", "begins", 2.0, 0.0, ""),))
    (bar,) = timeline_of(document).bars
    assert bar.left + bar.width == pytest.approx(100.0)


def test_the_chart_does_not_end_before_the_traffic_does() -> None:
    chart = traffic_chart_of(samples.promoted())
    assert chart is not None
    page = render_summary(samples.promoted())
    assert all(path in page for path in (chart.tail, chart.median, *(layer.path for layer in chart.layers)))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "not measured"),
        (math.nan, "not measured"),
        (math.inf, "not measured"),
        (0.0, "0 ms"),
        (0.00031, "0.31 ms"),
        (0.0221, "22.1 ms"),
        (1.24, "1.24 s"),
        (185, "3 min 05 s"),
    ],
)
def test_durations_are_told_in_the_unit_that_fits(seconds: float | None, words: str) -> None:
    assert seconds_in_words(seconds) == words


def test_text_that_would_act_is_made_visible() -> None:
    assert visible("a\x1b[2J\u202eb\udc80\nc") == "a\ufffd[2J\ufffdb\ufffd\nc"


@pytest.mark.parametrize("latency", [5e-324, sys.float_info.max])
def test_a_latency_at_the_end_of_the_range_of_a_float_can_be_drawn(latency: float) -> None:
    bucket = Bucket(0.0, 0.1, 1, 0, 0, latency, latency)
    assert traffic_chart_of(replace(samples.promoted(), buckets=(bucket,))) is not None


def test_a_test_is_told_as_the_claim_it_makes() -> None:
    assert claim_of("suites/a.py::TestX::test_no_request_was_lost[blue]") == "No request was lost [blue]"


def test_test_ids_and_environment_are_escaped_for_pytest_html() -> None:
    cells = ["<td>Passed</td>", "raw", "<td>1 ms</td>", "<td></td>"]
    fill_columns(cells, nodeid="a.py::test_x[<b>]")
    assert "<b>" not in cells[1]
    assert len(cells) == 3
    assert "<b>" not in str(safe_environment({"branch": "<b>", "plugins": {"<b>": "<b>"}, "list": ["<b>"]}))


def test_requests_of_the_gate_and_of_the_whole_run_stand_beside_each_other() -> None:
    document = replace(samples.promoted(), traffic={"total": {"sent": 30_400}})
    sent = next(figure for figure in key_figures(document) if figure.label == "Sent")
    assert sent.value == "30,124"
    assert sent.note.endswith("until the verdict; 30,400 in the whole run")
    same = replace(document, traffic={"total": {"sent": 30_124}})
    assert "whole run" not in next(figure for figure in key_figures(same) if figure.label == "Sent").note


def test_a_dangerous_header_is_said_on_the_terminal() -> None:
    danger = "page: DANGEROUS: Clear-Site-Data is new"
    document = replace(samples.promoted(), findings=("nothing of note", danger))
    lines = terminal_summary(document, width=100, colour=False)
    assert [line for line in lines if line.startswith("Finding:")] == [f"Finding:   {danger}"]


def test_growth_that_does_not_decide_is_never_shown_as_passed() -> None:
    sample = samples.promoted()
    assert sample.evidence.measured is not None
    seen = replace(sample.evidence.measured, growth=("its memory grows by 50 MiB a minute",))
    evidence = replace(sample.evidence, measured=seen)
    document = replace(sample, evidence=evidence, verdict=judge(evidence, sample.budget))
    assert document.verdict.is_promote
    first = check_lines(document)[0]
    assert (first.standing, first.title) == (CheckStatus.UNKNOWN, "The candidate grows; this does not decide")


def test_the_version_that_users_are_on_fails_is_said_first() -> None:
    left = {"sent": 20, "failed": 20, "example": "GET page: status 500", "sent_before": 300, "failed_before": 0}
    document = replace(samples.inconclusive(), traffic={"users_left": left})
    words = "THE VERSION THAT USERS ARE ON FAILS: 20 of 20 requests failed since the release was undone (GET page: "
    assert what_happened(document).startswith(words)
    assert tone_of(document) is Tone.BAD
    ill = replace(document, traffic={"users_left": {**left, "failed_before": 300}})
    assert "It failed before this release as well." in what_happened(ill)
    for well in ({**left, "failed": 0}, {**left, "failed": 1}, {**left, "failed": 2, "sent": 300}, {}, "odd"):
        assert "FAILS" not in what_happened(replace(document, traffic={"users_left": well}))


@pytest.mark.parametrize(
    ("judgement", "gross", "told"),
    [
        ("INCONCLUSIVE", "INCONCLUSIVE", "could not be compared with"),
        ("INCONCLUSIVE", "PASS", ""),
        ("FAIL", "PASS", "is not as good as"),
        ("PASS", "PASS", ""),
    ],
)
def test_comparison_that_showed_nothing_good_is_never_shown_as_passed(judgement: str, gross: str, told: str) -> None:
    sample = samples.promoted()
    assert sample.evidence.measured is not None
    seen = replace(sample.evidence.measured, judgement=judgement, judgement_gross=gross, judgement_why="3 of 200")
    evidence = replace(sample.evidence, measured=seen)
    document = replace(sample, evidence=evidence, verdict=judge(evidence, sample.budget))
    assert document.verdict.is_promote
    first = check_lines(document)[0]
    assert (first.standing is CheckStatus.UNKNOWN) is bool(told)
    assert told in first.title
    terminal = " ".join(terminal_summary(document, width=100, colour=False))
    for shown in (terminal, render_summary(document)):
        assert ("this does not decide" in shown) is bool(told)
        assert told in shown


def test_importing_the_report_room_does_not_load_a_template_engine() -> None:
    modules = (
        "report.document",
        "report.folder",
        "report.html.page",
        "report.html.pytest_html",
        "report.text.summary",
        "report.verdict.file",
    )
    names = "".join(f"import cakravia_verify.{name}; " for name in modules)
    code = f"import sys; {names}sys.exit('jinja2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
