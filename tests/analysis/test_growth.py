"""A candidate that grows through the bake is told, and one whose caches fill is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cakravia_verify.analysis.growth import UseSample, errors_in_words, growth_in_words
from cakravia_verify.system.resources import SlotUse

MEBIBYTE = 1 << 20
SECONDS = 30


def baked(memory: Callable[[int], float], *, seconds: int = SECONDS, **more: Callable[[int], int]) -> list[UseSample]:
    return [
        UseSample(
            500.0 + at,
            SlotUse(int(memory(at) * MEBIBYTE), **{name: value(at) for name, value in more.items()}),
        )
        for at in range(seconds)
    ]


def told(samples: list[UseSample], *, limit: int | None = 512 * MEBIBYTE) -> list[str]:
    return list(growth_in_words(samples, memory_limit=limit))


def test_a_leak_of_50_mb_a_minute_is_told_with_the_time_until_the_limit() -> None:
    (words,) = told(baked(lambda at: 112 + at * 50 / 60 + at % 2))
    assert words == "its memory grows by 50 MiB a minute, now 137 MiB; its limit is reached in 7 minutes"
    assert told(baked(lambda at: 112 + at * 50 / 60), limit=None) == [
        "its memory grows by 50 MiB a minute, now 136 MiB"
    ]


@pytest.mark.parametrize(
    "memory",
    [
        lambda at: 100.0,
        lambda at: 100 + min(at, 8) * 10,  # caches fill
        lambda at: 100 + at % 7 * 20,  # a collector runs now and then
        lambda at: 100 + at / 60,
        lambda at: 200 - at,
        lambda at: 100 + 200 * (at >= 20),  # one large request
    ],
)
def test_a_version_that_does_not_leak_is_not_told(memory: Callable[[int], float]) -> None:
    assert told(baked(memory)) == []


def test_a_bake_of_few_seconds_says_nothing() -> None:
    assert told(baked(lambda at: 100 + at * 10, seconds=5)) == []
    assert told([]) == []


def test_descriptors_and_threads_that_are_not_given_back_are_told() -> None:
    samples = baked(
        lambda at: 100.0,
        descriptors=lambda at: 20 + 2 * at,
        descriptor_limit=lambda at: 1_024,
        threads=lambda at: 4 + at,
    )
    assert told(samples) == [
        "its open descriptors grow by 120 a minute, now 78; its limit is reached in 8 minutes",
        "its threads grow by 60 a minute, now 33",
    ]


@pytest.mark.parametrize(
    ("log", "before", "words"),
    [
        (
            "ERROR no database\n" * 40,
            "",
            "its log has 40 lines with errors, that of the version before 0: ERROR no data",
        ),
        ("ERROR x\n" * 40, "ERROR x\n" * 10, "its log has 40 lines with errors, that of the version before 10"),
        ("ERROR x\n" * 40, "ERROR x\n" * 30, ""),
        ("ERROR x\n" * 2, "", ""),
        ("GET /terrors 200\n" * 40, "", ""),
    ],
)
def test_a_log_with_many_more_errors_than_before_is_told(log: str, before: str, words: str) -> None:
    found = errors_in_words(log, before)
    assert found.startswith(words)
    assert bool(found) is bool(words)
