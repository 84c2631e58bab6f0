"""The live site under load, judged against its budget: it bears it, loses nothing, and stays where it is."""

import pytest

from cakravia_verify.gate.model import Budget
from cakravia_verify.plugin.fixtures.load import LoadView

pytestmark = pytest.mark.gate


def test_site_bears_the_load_to_its_end(load: LoadView) -> None:
    assert load.ended_early == ""
    assert load.sent > 0


def test_no_request_was_lost_under_load(load: LoadView, budget: Budget) -> None:
    assert load.sent > 0
    assert len(load.lost) <= budget.lost, load.lost[:5]


def test_nothing_was_switched(load: LoadView) -> None:
    assert load.slot_after == load.slot_before
