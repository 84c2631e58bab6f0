"""From a ledger to the traffic chart: rates and columns are right for a run of any length."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cakravia_verify.analysis.model import Bucket
from cakravia_verify.analysis.run_timeline import RunTimeline
from cakravia_verify.analysis.series import buckets
from cakravia_verify.report.html.traffic_chart import TrafficChart, traffic_chart_of
from cakravia_verify.system.clock import Microseconds
from tests.report import samples
from tests.traffic.ledger.ledger_files import Run, request

MOST_COLUMNS = 241
COLUMN = re.compile(r"M([\d.]+) [\d.]+V[\d.]+H([\d.]+)V[\d.]+Z")


def buckets_of(folder: Path, *, seconds: float, rate: float) -> tuple[Bucket, ...]:
    """A run with one answered request every 1/rate seconds."""
    rows = [
        request(number, planned=at, started=at, sent=at, done=at + 1_000)
        for number in range(int(seconds * rate))
        if (at := round(number / rate * 1_000_000)) >= 0
    ]
    with Run(folder, rows).build() as ledger:
        return tuple(buckets(ledger, RunTimeline(touched=Microseconds(0), switchovers=(), until=None, rate=rate)))


def chart_of(given: tuple[Bucket, ...], *, seconds: float) -> TrafficChart:
    chart = traffic_chart_of(replace(samples.promoted(), buckets=given, seconds=seconds, timeline=()))
    assert chart is not None
    return chart


def peak_of(chart: TrafficChart) -> float:
    found = re.search(r"at most ([\d,]+) a second", chart.in_words)
    assert found is not None
    return float(found.group(1).replace(",", ""))


@pytest.mark.parametrize("seconds", [10.0, 24.0, 24.1, 72.3, 120.4])
def test_the_chart_shows_200_a_second_if_200_were_answered(tmp_path: Path, seconds: float) -> None:
    assert peak_of(chart_of(buckets_of(tmp_path, seconds=seconds, rate=200), seconds=seconds)) == 200


@pytest.mark.check
@settings(deadline=None, max_examples=25)
@given(st.integers(100, 36_000))
def test_the_columns_of_a_run_of_any_length_touch_and_keep_its_rate(tenths: int) -> None:
    seconds, rate = tenths / 10, 3_000 / (tenths / 10)
    with TemporaryDirectory() as folder:
        given_buckets = buckets_of(Path(folder), seconds=seconds, rate=rate)
    chart = chart_of(given_buckets, seconds=seconds)
    columns = [(float(left), float(right)) for left, right in COLUMN.findall(chart.layers[0].path)]
    assert len(columns) == len(given_buckets) <= MOST_COLUMNS
    assert all(right == pytest.approx(left, abs=0.002) for (_, right), (left, _) in itertools.pairwise(columns))
    assert columns[0][0] == 0
    # A column holds a whole number of requests, so it may show one more than its share.
    assert peak_of(chart) == pytest.approx(rate, abs=1 / chart.column_seconds + 1)
    assert chart.layers[0].answers == sum(bucket.answered for bucket in given_buckets) == int(seconds * rate)


def test_a_run_of_an_hour_is_drawn_in_few_columns_and_keeps_every_request(tmp_path: Path) -> None:
    chart = chart_of(buckets_of(tmp_path, seconds=3_600, rate=2), seconds=3_600)
    assert chart.layers[0].answers == 7_200
    assert chart.layers[0].path.count("M") <= MOST_COLUMNS
    assert peak_of(chart) == 2
