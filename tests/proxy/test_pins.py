"""The spans of time for which a pin is in force."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from cakravia_verify.proxy.pins import put_pin, remove_pin, spans_of
from cakravia_verify.settings.skew import LONGEST_PIN, MOST_SPANS, SkewSettings
from cakravia_verify.slots import Colour


@given(age=some.floats(1, LONGEST_PIN), now=some.floats(1.7e9, 2.0e9))
def test_a_pin_never_lasts_longer_than_its_maximum_age(age: float, now: float) -> None:
    skew = SkewSettings(query="dpl", max_age=age)
    spans = [int(span) for span in spans_of(skew, now=now)]
    assert len(spans) <= MOST_SPANS
    if spans:
        assert spans[0] * skew.span <= now
        assert (spans[-1] + 1) * skew.span <= now + age + 1e-3
        assert now + age - (spans[-1] + 1) * skew.span < skew.span
    assert spans == list(range(spans[0], spans[0] + len(spans))) if spans else age < 2


@pytest.mark.parametrize(("age", "span"), [(1.0, 1), (1000.0, 1), (43_200.0, 100), (864_000.0, 1000)])
def test_one_file_stands_for_a_power_of_ten(age: float, span: int) -> None:
    assert SkewSettings(max_age=age).span == span


def test_one_pin_replaces_another(tmp_path: Path) -> None:
    put_pin(tmp_path, Colour.BLUE, "v1", ("17",))
    put_pin(tmp_path, Colour.BLUE, "v2", ("18", "19"))
    assert sorted(str(each.relative_to(tmp_path)) for each in tmp_path.rglob("*") if each.is_file()) == [
        "pins/blue/v2/18",
        "pins/blue/v2/19",
    ]
    remove_pin(tmp_path, Colour.BLUE)
    remove_pin(tmp_path, Colour.BLUE)
    assert list((tmp_path / "pins").iterdir()) == []
