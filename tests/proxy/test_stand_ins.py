"""How many requests the other slot answered, read from a log with lines of one length."""

from __future__ import annotations

import io

import pytest

from cakravia_verify.proxy.stand_ins import LINE, count_in, count_since

INSTANTS = (1764446400.123, 1764446400.124, 1764450000.0, 1764486400.5)
LOG = "".join(f"{instant:.3f}\n" for instant in INSTANTS).encode()


@pytest.mark.parametrize(
    ("since", "count"),
    [(0.0, 4), (1764446400.123, 4), (1764446400.1235, 3), (1764450000.0, 2), (1764486400.5, 1), (1764486400.6, 0)],
)
def test_only_answers_since_the_instant_count(since: float, count: int) -> None:
    assert count_since(io.BytesIO(LOG), since) == count


@pytest.mark.parametrize("log", [b"", b"1764", LOG[: LINE + 3]])
def test_an_empty_or_incomplete_log_is_no_error(log: bytes) -> None:
    assert (count_in(io.BytesIO(log)), count_since(io.BytesIO(log), 0.0)) == (len(log) // LINE,) * 2
