"""A load on the live site: the site bears it, loses nothing, and users stay on the same slot."""

import pytest

from cakravia_verify.api import Budget, LoadView

pytestmark = pytest.mark.gate


def test_site_bears_the_load_to_its_end(load: LoadView) -> None:
    assert load.ended_early == ""
    assert load.sent > 0


def test_no_request_was_lost_under_load(load: LoadView, budget: Budget) -> None:
    assert load.sent > 0
    assert len(load.lost) <= budget.lost, load.lost[:5]


def test_nothing_was_switched(load: LoadView) -> None:
    assert load.slot_after == load.slot_before
