"""`--require-verdict`: a signed verdict permits one promotion of the very artifact, before anything is touched."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cakravia_verify.errors import ReleaseError, UsageError
from cakravia_verify.report.attestation.verification import Wanted
from cakravia_verify.runs.permit import Permit, permit_of, require_unused
from cakravia_verify.runs.preparation import Request, prepare_run
from cakravia_verify.system.clock import Deadline
from tests.memory_stage import Stage
from tests.report import samples
from tests.report.signed import NOW, WANTED, key_pair, signed_report


def promoted(tmp_path: Path, version: str) -> tuple[Stage, str]:
    stage = Stage(tmp_path)
    stage.deploy(version)
    active = stage.site.observe().active
    assert active is not None
    return stage, active.digest


def at(stage: Stage, seconds: float) -> datetime:
    return datetime.fromtimestamp(stage.clock.wall(), UTC) + timedelta(seconds=seconds)


def test_a_signed_verdict_permits_its_artifact(tmp_path: Path) -> None:
    signed = signed_report(tmp_path)
    permit = permit_of(signed.envelope, trust=[signed.public], wanted=WANTED, now=NOW.timestamp())
    assert permit.digest == samples.NEW_DIGEST
    assert "of the site shop, signed with shop.pub.json" in permit.origin


def test_every_reason_of_a_refusal_is_in_the_error(tmp_path: Path) -> None:
    signed = signed_report(tmp_path)
    late = (NOW + timedelta(days=31)).timestamp()
    with pytest.raises(UsageError, match=r"not 'v9'; it is older than 30 days"):
        permit_of(signed.envelope, trust=[signed.public], wanted=Wanted("v9"), now=late)


def test_a_verdict_without_a_trusted_key_permits_nothing(tmp_path: Path) -> None:
    signed = signed_report(tmp_path)
    with pytest.raises(UsageError, match="needs --trust"):
        permit_of(signed.envelope, trust=[], wanted=WANTED, now=NOW.timestamp())
    _, other = key_pair(tmp_path / "other")
    with pytest.raises(UsageError, match="is not signed by a trusted key"):
        permit_of(signed.envelope, trust=[other], wanted=WANTED, now=NOW.timestamp())


def test_an_artifact_that_was_built_before_is_released_and_not_built_again(tmp_path: Path) -> None:
    stage, _ = promoted(tmp_path, "v1")
    built = stage.memory.build("v2", deadline=Deadline("the build", 5.0, clock=stage.clock))
    stage.memory.artifacts["v2"] = replace(built, digest="sha256:built")
    stage.memory.acted.clear()
    request = Request(kind="deploy", version="v2", digest="sha256:built")
    release = stage.release("v2")
    release.permitted_digest = request.only_digest
    assert stage.finished(release) == "promoted"
    active = stage.site.observe().active
    assert active is not None
    assert active.digest == "sha256:built"
    assert not [each for each in stage.memory.acted if each.startswith("build")]


def test_the_very_artifact_is_released(tmp_path: Path) -> None:
    stage, _ = promoted(tmp_path, "v1")
    release = stage.release("v2")
    release.permitted_digest = stage.memory.build("v2", deadline=release.deadline("the build", 5.0)).digest
    assert stage.finished(release) == "promoted"


def test_another_artifact_of_the_same_version_never_starts(tmp_path: Path) -> None:
    stage, _ = promoted(tmp_path, "v1")
    release = stage.release("v2")
    release.permitted_digest = samples.NEW_DIGEST
    acted = stage.acts(lambda: stage.finished(release))
    assert isinstance(release.failure, ReleaseError)
    assert "may be released" in str(release.failure)
    assert not [each for each in acted if each.startswith("start")]
    assert stage.serving is not None
    assert stage.serving.version == "v1"


def test_a_verdict_is_not_replayed_for_a_second_promotion(tmp_path: Path) -> None:
    stage, digest = promoted(tmp_path, "v1")
    stage.deploy("v2")
    with pytest.raises(UsageError, match="this verdict was used"):
        require_unused(Permit(digest, datetime(2020, 1, 1, tzinfo=UTC), "staging"), stage.site.journal.entries())


def test_a_newer_verdict_permits_the_same_artifact_again(tmp_path: Path) -> None:
    stage, digest = promoted(tmp_path, "v1")
    require_unused(Permit(digest, at(stage, 60), "staging"), stage.site.journal.entries())


def test_a_promotion_of_another_artifact_uses_no_verdict_up(tmp_path: Path) -> None:
    stage, _ = promoted(tmp_path, "v1")
    permit = Permit(samples.NEW_DIGEST, datetime(2020, 1, 1, tzinfo=UTC), "staging")
    require_unused(permit, stage.site.journal.entries())


def test_a_replay_leaves_the_site_free_and_unchanged(tmp_path: Path) -> None:
    stage, digest = promoted(tmp_path, "v1")
    stage.deploy("v2")
    before = len(list(stage.site.journal.entries()))
    permit = Permit(digest, datetime(2020, 1, 1, tzinfo=UTC), "staging")
    request = Request(kind="deploy", version="v1", permit=permit)
    with pytest.raises(UsageError, match="a verdict permits one promotion"):
        prepare_run(request, stage.opened(), on_event=lambda _: None, waiting=lambda _: None)
    assert len(list(stage.site.journal.entries())) == before
    assert stage.site.lock.holder() is None


def test_the_history_says_which_release_permitted_this_one(tmp_path: Path) -> None:
    stage, _ = promoted(tmp_path, "v1")
    permit = Permit(samples.NEW_DIGEST, at(stage, 0), "release r7 of the site staging")
    request = Request(kind="deploy", version="v2", permit=permit)
    preparation = prepare_run(request, stage.opened(), on_event=lambda _: None, waiting=lambda _: None)
    stage.site.lock.release()
    assert f"permitted by release r7 of the site staging: {samples.NEW_DIGEST}" in preparation.notices
