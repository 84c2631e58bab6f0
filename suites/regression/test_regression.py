"""A night on a copy of the site: good and bad versions, faults, loads, rollbacks, and the figures of it all."""

import pytest

from cakravia_verify.api import Night


@pytest.mark.parametrize("chapter", ["good versions", "bad versions", "rollbacks", "faults", "loads", "lost requests"])
def test_every_round_ended_as_it_should(night: Night, chapter: str) -> None:
    assert night.done[chapter] >= night.rounds
    assert not night.problems[chapter], "; ".join(night.problems[chapter])


def test_no_figure_is_worse_than_in_earlier_nights(night: Night) -> None:
    assert not night.worse, "; ".join(night.worse)
