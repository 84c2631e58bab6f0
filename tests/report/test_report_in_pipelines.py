"""What a pipeline shows of a release: a summary of bounded size, and an annotation for each check that failed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cakravia_verify.gate.model import Check, CheckStatus
from cakravia_verify.report.document import ReleaseDocument
from cakravia_verify.report.text.annotations import annotation_lines
from cakravia_verify.report.text.summary import LARGEST_SUMMARY, job_summary
from tests.report import samples

LONG = "|<é>" * 5_000


def with_checks(document: ReleaseDocument, *checks: Check) -> ReleaseDocument:
    return replace(document, verdict=replace(document.verdict, checks=checks))


def check(text: str, standing: CheckStatus = CheckStatus.FAILED) -> Check:
    return Check(text, text, standing, text, text, "")


def test_a_summary_of_endless_texts_stays_below_its_limit() -> None:
    document = with_checks(samples.rolled_back(), *(check(f"{number}{LONG}") for number in range(500)))
    document = replace(document, findings=(LONG,) * 500, drift=(LONG,) * 500, reason=LONG, who=LONG, site=LONG)
    summary = job_summary(document)
    assert len(summary.encode()) <= LARGEST_SUMMARY
    assert "was left out" in summary
    assert summary.startswith("## ")


@pytest.mark.parametrize("sample", [samples.promoted, samples.rolled_back, samples.inconclusive, samples.empty])
def test_nothing_is_left_out_of_a_usual_summary(sample: object) -> None:
    assert callable(sample)
    assert "was left out" not in job_summary(sample())


def test_a_promotion_has_no_annotation() -> None:
    assert annotation_lines(samples.promoted()) == []


def test_each_failed_check_is_an_error_and_each_unknown_one_a_warning() -> None:
    document = with_checks(samples.rolled_back(), check("health"), check("bake", CheckStatus.UNKNOWN))
    first, *rest = annotation_lines(document)
    assert first.startswith("::error title=")
    assert rest == ["::error title=health::health (required: health)", "::warning title=bake::bake (required: bake)"]


def test_an_inconclusive_release_is_a_warning() -> None:
    assert annotation_lines(samples.inconclusive())[0].startswith("::warning title=INCONCLUSIVE")


def test_a_text_cannot_begin_a_workflow_command_of_its_own() -> None:
    hostile = "a\n::add-mask::b\r\n::error::c 100%, d"
    lines = annotation_lines(with_checks(samples.rolled_back(), check(hostile)))
    assert all(line.startswith(("::error title=", "::warning title=")) for line in lines)
    assert not [line for line in lines if "\n" in line or "\r" in line]
    title, message = lines[1].removeprefix("::error title=").split("::", 1)
    assert not set(",:") & set(title)
    assert "100%25" in message


def test_no_more_annotations_than_a_pipeline_shows() -> None:
    document = with_checks(samples.rolled_back(), *(check(f"check {number}") for number in range(50)))
    assert len(annotation_lines(document)) == 10
