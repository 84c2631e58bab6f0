"""Error-budget burn: proof, not luck."""

from __future__ import annotations

import pytest

from cakravia_verify.monitor.alerts.burn import FAST, SLOW, BurnRate, is_burning


@pytest.mark.parametrize(
    ("short", "long", "expected"),
    [
        ((0, 0), (0, 0), False),
        ((0, 1000), (0, 50_000), False),
        ((1, 3), (1, 3), False),
        ((1, 40), (1, 500), False),
        ((3, 5), (3, 5), True),
        ((30, 30), (30, 1000), True),
        ((0, 300), (500, 5000), False),
        ((60, 1000), (300, 10_000), True),
        ((10, 10_000), (100, 100_000), False),
    ],
)
def test_a_burn_needs_proof_in_both_windows(short: tuple[int, int], long: tuple[int, int], expected: bool) -> None:
    assert is_burning({FAST.short: short, FAST.long: long}, FAST, objective=0.999) is expected


@pytest.mark.parametrize("rate", [FAST, SLOW])
def test_a_healthy_small_site_never_fires_on_its_expected_failures(rate: BurnRate) -> None:
    for total in range(1, 3000, 7):
        failed = int(total * 0.001)
        assert not is_burning({rate.short: (failed, total), rate.long: (failed, total)}, rate, objective=0.999)
