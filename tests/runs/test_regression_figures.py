"""The figures of a night are kept, and held against earlier nights."""

from __future__ import annotations

from pathlib import Path

from cakravia_verify.runs.regression_figures import (
    FIGURES,
    NightFigures,
    append_night,
    earlier_nights,
    figure_lines,
    worse_figures,
)


def night(number: int, **figures: float) -> NightFigures:
    return NightFigures(f"night-{number}", f"2026-11-{number:02}T02:17:00+00:00", figures)


def test_a_night_is_kept_and_read_again(tmp_path: Path) -> None:
    file = tmp_path / "figures.jsonl"
    nights = [night(1, switch_seconds=0.01), night(2, switch_seconds=0.02)]
    for each in nights:
        append_night(file, each)
    assert earlier_nights(file) == nights


def test_lines_that_are_no_nights_are_passed_by(tmp_path: Path) -> None:
    file = tmp_path / "figures.jsonl"
    file.write_text('nonsense\n[]\n{"figures": 1}\n{"figures": {"a": "x"}, "run": "r", "at": "t"}\n')
    append_night(file, night(1, switch_seconds=0.01))
    assert earlier_nights(file) == [night(1, switch_seconds=0.01)]


def test_without_a_file_there_are_no_earlier_nights(tmp_path: Path) -> None:
    assert earlier_nights(tmp_path / "none.jsonl") == []


def test_a_night_has_the_median_of_each_figure() -> None:
    made = NightFigures.of({"release_seconds": [1.0, 9.0, 2.0], "load_p99_seconds": []}, run="r", at="t")
    assert made.figures == {"release_seconds": 2.0}


def test_a_slow_drift_of_the_switch_time_or_of_memory_fails_the_night() -> None:
    earlier = [night(each, switch_seconds=0.1 + each / 100, nginx_megabytes=50.0 + 2 * each) for each in range(1, 25)]
    worse = [*worse_figures(earlier, night(25, switch_seconds=0.35, nginx_megabytes=100.0))]
    assert [line.partition(":")[0] for line in worse] == ["switch_seconds", "nginx_megabytes"]


def test_a_night_like_the_earlier_ones_is_not_worse() -> None:
    figures = dict.fromkeys(FIGURES, 1.0)
    assert not [*worse_figures([night(each, **figures) for each in range(1, 25)], night(25, **figures))]


def test_a_figure_stands_beside_the_nights_before() -> None:
    earlier = [night(1, release_seconds=10.0), night(2, release_seconds=12.0)]
    (line,) = figure_lines(earlier, night(3, release_seconds=11.0))
    assert line == "release_seconds: 11 (median of 2 nights before: 11; a trend needs 5 nights before)"
