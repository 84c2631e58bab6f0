"""Seconds and microseconds."""

from __future__ import annotations

import pytest

from cakravia_verify.system.clock import SECOND, Deadline, Microseconds, to_microseconds, to_seconds


@pytest.mark.parametrize(("seconds", "expected"), [(0.0, 0), (1.0, 1_000_000), (2.0000004, 2_000_000), (0.0000006, 1)])
def test_seconds_become_the_nearest_whole_microseconds(seconds: float, expected: int) -> None:
    assert to_microseconds(seconds) == Microseconds(expected)


def test_microseconds_become_seconds() -> None:
    assert to_seconds(Microseconds(1_500_000)) == 1.5
    assert to_seconds(SECOND) == 1.0


def test_mypy_refuses_microseconds_in_place_of_seconds() -> None:
    # `warn_unused_ignores` makes mypy fail here once it accepts one of them.
    Deadline("an example", Microseconds(5))  # type: ignore[arg-type]
    to_seconds(5.0)  # type: ignore[arg-type]
    to_seconds(5)  # type: ignore[arg-type]
