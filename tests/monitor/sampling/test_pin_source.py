"""The monitor ends the pins of an idle slot that is not healthy any more."""

from __future__ import annotations

from pathlib import Path

from cakravia_verify.monitor.sampling.pins import PinSource
from cakravia_verify.settings.proxy import ProxySettings
from cakravia_verify.settings.skew import SkewSettings
from cakravia_verify.slots import Colour
from tests.memory_stage import Stage


def test_a_pinned_slot_is_left_after_two_bad_readings_in_a_row(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    skew = SkewSettings(header="x-deployment-id")
    stage.settings = stage.settings.model_copy(update={"proxy": ProxySettings(skew=skew)})
    stage.opened()
    for version in ("v1", "v2"):
        stage.deploy(version)
    source = PinSource(stage.site)
    # Users' slot may be ill meanwhile: it has no pin.
    for sick in ("v2", "v1", "v2", "v1"):
        stage.memory.sick = {sick}
        source.collect()
        assert stage.memory.pins == {Colour.BLUE: "v1"}
    source.collect()
    assert stage.memory.pins == {}
