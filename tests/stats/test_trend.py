"""A jump and a slow drift of a figure are told; noise is not."""

from __future__ import annotations

import random

import pytest

from cakravia_verify.stats.trend import LEAST, worsening


def noise(nights: int, *, seed: int, around: float = 1.0, spread: float = 0.05) -> list[float]:
    chance = random.Random(seed)
    return [around * (1 + chance.uniform(-spread, spread)) for _ in range(nights)]


def test_a_jump_above_the_nights_before_is_told() -> None:
    assert worsening([*noise(10, seed=1), 1.7], floor=0.1).startswith("1.7 after ")


@pytest.mark.parametrize("seed", range(20))
def test_noise_is_no_trend(seed: int) -> None:
    assert worsening(noise(30, seed=seed), floor=0.01) == ""


def test_a_slow_drift_without_any_jump_is_told() -> None:
    values = [value + 0.02 * night for night, value in enumerate(noise(30, seed=2))]
    assert worsening(values, floor=0.1).startswith("rose from about")


def test_a_figure_that_becomes_better_is_no_trend() -> None:
    assert worsening([2.0 - 0.05 * night for night in range(30)], floor=0.01) == ""


def test_a_change_below_the_floor_is_none() -> None:
    assert worsening([0.001] * 10 + [0.004], floor=0.05) == ""


def test_too_few_nights_show_no_trend() -> None:
    assert worsening([1.0] * (LEAST - 1) + [100.0], floor=0.1) == ""
    assert worsening([1.0] * LEAST + [100.0], floor=0.1) != ""


def test_equal_nights_show_no_trend() -> None:
    assert worsening([1.0] * 30, floor=0.0) == ""


def test_only_the_last_nights_count() -> None:
    assert worsening([0.1] * 100 + [1.0] * 30, floor=0.1) == ""
