"""What the end of a release shows the gate: values that were read, and nothing in the place of those that were not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cakravia_verify.errors import PlatformError
from cakravia_verify.gate.model import Budget, Check, CheckStatus
from cakravia_verify.gate.rules import judge
from cakravia_verify.release.machine import Release
from cakravia_verify.runs.evidence import EndState, evidence_of, observe_end
from cakravia_verify.slots import Colour, Slot
from cakravia_verify.testing.memory import FakeClock, MemorySite
from tests.memory_stage import Stage


class DeafEngine(MemorySite):
    """A platform that cannot tell what runs, once `is_deaf`."""

    is_deaf = False

    def observe(self, colour: Colour) -> Slot | None:
        if self.is_deaf:
            raise PlatformError("the engine does not answer")
        return super().observe(colour)


@pytest.fixture
def platform() -> DeafEngine:
    return DeafEngine(FakeClock())


@pytest.fixture
def baked(tmp_path: Path, platform: DeafEngine) -> Release:
    stage = Stage(tmp_path, memory=platform)
    stage.deploy("v1")
    release = stage.release("v2")
    release.start()
    release.advance("bake")
    return release


def end_of(release: Release) -> EndState:
    assert release.facts.candidate is not None
    return observe_end(release.site, release.facts.candidate)


def checks(release: Release, end: EndState) -> dict[str, Check]:
    evidence = evidence_of(release, end, required={"test_a": "passed"}, measured=None, has_previous=True)
    return {check.name: check for check in judge(evidence, Budget()).checks}


def test_a_good_end_passes_both_checks(baked: Release) -> None:
    found = checks(baked, end_of(baked))
    assert found["identity"].standing is found["serving"].standing is CheckStatus.PASSED


def test_an_artifact_that_could_not_be_read_counted_as_another_artifact(baked: Release, platform: DeafEngine) -> None:
    platform.is_deaf = True
    end = end_of(baked)
    found = checks(baked, end)
    assert found["identity"].standing is CheckStatus.UNKNOWN
    assert not [check for check in found.values() if check.standing is CheckStatus.FAILED]
    assert end.unread == ("what runs in green could not be read: the engine does not answer",)


def test_another_process_in_the_candidates_place_fails(baked: Release, platform: DeafEngine) -> None:
    platform.running[Colour.GREEN] = replace(platform.running[Colour.GREEN], identity="another")
    assert checks(baked, end_of(baked))["identity"].standing is CheckStatus.FAILED


def test_users_on_a_slot_that_only_reads_like_the_candidate_were_taken_for_it(
    baked: Release, platform: DeafEngine
) -> None:
    platform.running[Colour.GREEN] = replace(platform.running[Colour.GREEN], digest="sha256:other")
    end = end_of(baked)
    evidence = evidence_of(baked, end, required={}, measured=None, has_previous=True)
    assert evidence.serving == evidence.candidate
    assert checks(baked, end)["serving"].standing is CheckStatus.FAILED


def test_users_on_the_old_slot_fail(baked: Release, platform: DeafEngine) -> None:
    platform.chosen = Colour.BLUE
    assert checks(baked, end_of(baked))["serving"].standing is CheckStatus.FAILED


def test_users_without_an_answer_fail(baked: Release, platform: DeafEngine) -> None:
    platform.proxy_runs = False
    assert checks(baked, end_of(baked))["serving"].standing is CheckStatus.FAILED
