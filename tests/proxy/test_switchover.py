"""The instants of one switch."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cakravia_verify.proxy.protocol import Switchover
from cakravia_verify.slots import Colour

SECONDS = st.floats(0, 1e9)


@given(SECONDS, SECONDS)
def test_rounding_never_moves_decision_and_fence_towards_each_other(decided: float, effective: float) -> None:
    switchover = Switchover.timed(Colour.GREEN, decided=decided, effective=effective)
    assert int(switchover.decided_at) <= decided * 1_000_000
    assert int(switchover.effective_at) >= effective * 1_000_000
