"""Where a rollback goes, and whether it is told rightly that it would get there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from cakravia_verify.errors import NothingToDo
from cakravia_verify.health.probe import Answer
from cakravia_verify.platforms.process.slots import ProcessPlatform
from cakravia_verify.recovery.lifecycle import bring_down
from cakravia_verify.recovery.rollback_checks import PreflightCheck
from cakravia_verify.recovery.rollback_target import RollbackPreview, preview_rollback, target_of
from cakravia_verify.runs.preparation import Request, prepare_run
from cakravia_verify.settings.models import AppSettings, ReleaseSettings, SmokeRequest, TrafficSettings
from cakravia_verify.slots import Artifact, Colour
from cakravia_verify.system.clock import Deadline
from tests.memory_stage import Stage


@pytest.fixture
def site_with_v2(site_with_v1: Stage) -> Stage:
    """Users are on v2 on green, and v1 waits on blue."""
    site_with_v1.deploy("v2")
    return site_with_v1


def target(stage: Stage, *, version: str = "") -> Artifact:
    return target_of(stage.site, stage.site.observe(), version=version)


def closed(preview: RollbackPreview) -> dict[str, PreflightCheck]:
    return {check.name: check for check in preview.checks if not check.is_ok}


def detail_of(preview: RollbackPreview, name: str) -> str:
    return next(check.detail for check in preview.checks if check.name == name)


def opened(stage: Stage, *, version: str = "") -> tuple[str, Colour]:
    """Where a rollback that is asked for now would go."""
    opening = prepare_run(Request("rollback", version), stage.site, on_event=lambda _: None, waiting=lambda _: None)
    stage.site.lock.release()
    assert opening.target is not None
    return opening.target.version, opening.intent.candidate


# Which artifact.


def test_another_build_under_the_same_name_is_not_what_users_go_back_to(site_with_v2: Stage) -> None:
    site_with_v2.memory.artifacts["v1"] = Artifact("v1", "sha256:another", "v1")
    with pytest.raises(NothingToDo, match=r"the build of v1 that users were on, sha256:v1, is not retained") as caught:
        target(site_with_v2)
    assert "sha256:another" in caught.value.message
    assert "--version v1" in caught.value.remedy
    assert target(site_with_v2, version="v1").digest == "sha256:another"


def test_of_two_builds_of_a_version_the_one_that_users_were_on_is_the_target(site_with_v2: Stage) -> None:
    site_with_v2.memory.artifacts["v1 again"] = Artifact("v1", "sha256:another", "v1")
    assert target(site_with_v2).digest == "sha256:v1"


def test_a_version_that_is_not_retained_at_all_is_named_with_those_that_are(site_with_v2: Stage) -> None:
    del site_with_v2.memory.artifacts["v1"]
    with pytest.raises(NothingToDo, match="version v1 is not retained here; retained: v2"):
        target(site_with_v2)


def test_first_release_after_a_lost_history_knows_the_version_before_it(site_with_v2: Stage) -> None:
    site_with_v2.journal.path.unlink()
    site_with_v2.deploy("v3")
    assert target(site_with_v2) == site_with_v2.memory.artifacts["v2"]
    assert preview_rollback(site_with_v2.site).is_possible


# Not a yes where the rollback fails.


def test_a_locust_file_that_is_not_there_closes_the_way(site_with_v2: Stage) -> None:
    site = site_with_v2.site
    site.settings = site.settings.model_copy(update={"traffic": TrafficSettings(locustfile="gone.py")})
    assert "there is no" in closed(preview_rollback(site))["traffic can be planned"].detail


def answering(stage: Stage, answer: Answer) -> list[tuple[str, str]]:
    """Slots give this answer from now on, users of the proxy what they always got; what slots were asked for."""
    asked: list[tuple[str, str]] = []
    real: Callable[..., Answer] = stage.memory.request

    class Asked:
        def __getattr__(self, name: str) -> Any:
            return getattr(stage.memory, name)

        def request(
            self, address: Any, method: str, path: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None
        ) -> Answer:
            if address == stage.site.proxy.address:
                return real(address, method, path, body=body, headers=headers)
            asked.append((method, path))
            return answer

    stage.site.prober = Asked()
    return asked


SMOKE = (SmokeRequest(method="POST", path="/orders"), SmokeRequest(path="/new", contains="hello"))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(404, {}, b"hello", "", 0.001), "status 404, expected 200"),
        (Answer(None, {}, b"", "connection refused", 0.001), "connection refused, expected 200"),
        (Answer(200, {}, b"bye", "", 0.001), "does not contain 'hello'"),
    ],
)
def test_a_warm_version_that_fails_todays_smoke_requests_is_no_way_back(
    site_with_v2: Stage, answer: Answer, words: str
) -> None:
    site = site_with_v2.site
    release = site.settings.release.model_copy(update={"smoke": SMOKE})
    site.settings = site.settings.model_copy(update={"release": release})
    asked = answering(site_with_v2, answer)
    failed = closed(preview_rollback(site))["blue is ready for it"].detail
    assert failed.startswith("blue (v1) is warm but fails smoke request GET /new: ")
    assert words in failed
    assert asked == [("GET", "/new")]


def test_what_could_change_something_is_not_asked(site_with_v2: Stage) -> None:
    site = site_with_v2.site
    site.settings = site.settings.model_copy(update={"release": ReleaseSettings(smoke=SMOKE[:1])})
    asked = answering(site_with_v2, Answer(404, {}, b"", "", 0.001))
    assert preview_rollback(site).is_possible
    assert asked == []


@pytest.fixture
def cold(stage: Stage) -> Callable[..., RollbackPreview]:
    """Makes v1 in a folder `app` of this machine, and looks back at it by other settings of today."""
    source = stage.settings.root / "source" / "app"
    source.mkdir(parents=True)
    (source / "run").write_text("#!/bin/sh\n")
    (source / "run").chmod(0o755)
    program = stage.settings.root / "program"
    program.touch(mode=0o755)

    def look(*, command: str, lost: bool = False, **today: Any) -> RollbackPreview:
        app = AppSettings(source=str(source.parent), directory="app", command=(command.format(program=program),))
        settings = stage.settings.model_copy(update={"app": app})
        ProcessPlatform(settings).build("v1", deadline=Deadline("the build ends", 10))
        if lost:
            program.unlink()
        now = settings.model_copy(update={"app": AppSettings(**app.model_dump() | today)})
        site = replace(stage.site, settings=now, platform=ProcessPlatform(now))
        return preview_rollback(site, version="v1")

    return look


@pytest.mark.parametrize("command", ["{program}", "{{python}}", "sh", "./run"])
def test_a_cold_version_that_can_be_started_is_told_so(cold: Callable[..., RollbackPreview], command: str) -> None:
    assert detail_of(cold(command=command), "blue is ready for it") == "cold: it is empty, v1 is started"


def test_a_cold_version_whose_program_is_gone_is_no_way_back(cold: Callable[..., RollbackPreview]) -> None:
    failed = closed(cold(command="{program}", lost=True))
    assert "is no longer a program on this machine" in failed["blue is ready for it"].detail


def test_a_cold_version_without_todays_folder_is_no_way_back(cold: Callable[..., RollbackPreview]) -> None:
    failed = closed(cold(command="sh", directory="application"))["blue is ready for it"]
    assert failed.detail == "[app] directory: version v1 has no folder 'application'"
    assert failed.remedy


def test_preflight_misses_what_another_platform_lacks_to_start_a_version(site_with_v2: Stage) -> None:
    del site_with_v2.memory.running[Colour.BLUE]
    site_with_v2.memory.unstartable.add("v1")
    assert set(closed(preview_rollback(site_with_v2.site))) == {"blue is ready for it"}


# Not a no where the rollback succeeds: what is foreseen is what the opening then does.


def test_a_hung_version_with_a_healthy_one_beside_it_is_mended_first(site_with_v2: Stage) -> None:
    stage = site_with_v2
    active = stage.memory.running[Colour.GREEN]
    stage.memory.sick.add("v2")
    stage.memory.mute.add(active.identity)
    preview = preview_rollback(stage.site)
    assert closed(preview) == {}
    assert detail_of(preview, "users are served").startswith("will be repaired first, with users on blue (v1): ")
    assert detail_of(preview, "green is ready for it") == "cold: green (v2) is replaced, v1 is started"
    assert preview.target is not None
    assert opened(stage) == (preview.target.version, Colour.GREEN)


def test_a_stand_in_is_mended_first(site_with_v2: Stage) -> None:
    stage = site_with_v2
    del stage.memory.running[Colour.GREEN]
    assert stage.memory.failover
    preview = preview_rollback(stage.site)
    assert closed(preview) == {}
    assert detail_of(preview, "users are served").startswith("will be repaired first, with users on blue (v1): ")
    assert opened(stage) == ("v1", Colour.GREEN)


def test_a_proxy_that_does_not_run_is_mended_first(site_with_v2: Stage) -> None:
    stage = site_with_v2
    stage.memory.proxy_runs = False
    preview = preview_rollback(stage.site)
    assert closed(preview) == {}
    assert "will be repaired first, with users on green (v2)" in detail_of(preview, "users are served")
    assert (preview.is_warm, opened(stage)) == (True, ("v1", Colour.BLUE))


def test_a_site_that_died_whole_is_mended_first(site_with_v2: Stage) -> None:
    stage = site_with_v2
    stage.memory.running.clear()
    stage.memory.proxy_runs = False
    preview = preview_rollback(stage.site)
    assert closed(preview) == {}
    assert "will be repaired first, with users on green (v2)" in detail_of(preview, "users are served")
    assert (preview.is_warm, opened(stage)) == (False, ("v1", Colour.BLUE))


def test_a_site_that_was_taken_down_has_nowhere_to_go_back_from(site_with_v2: Stage) -> None:
    bring_down(site_with_v2.site)
    preview = preview_rollback(site_with_v2.site)
    assert closed(preview)["users are served"].remedy == "cakravia up"
    assert "no version is active" in closed(preview)["target"].detail


def test_users_somewhere_else_by_hand_are_still_told(site_with_v2: Stage) -> None:
    site_with_v2.memory.chosen = Colour.BLUE
    assert closed(preview_rollback(site_with_v2.site))["users are served"].remedy == "cakravia recover"


# The history.


def test_nul_bytes_of_a_power_cut_are_told_and_close_nothing(site_with_v2: Stage) -> None:
    with site_with_v2.journal.path.open("ab") as file:
        file.write(b"\0" * 512)
    site_with_v2.deploy("v3")
    preview = preview_rollback(site_with_v2.site)
    assert closed(preview) == {}
    assert "512 empty bytes" in detail_of(preview, "the history is whole")


def test_an_intent_that_cannot_be_read_is_told_and_is_no_traceback(site_with_v2: Stage) -> None:
    path = site_with_v2.journal.path
    path.write_bytes(path.read_bytes().replace(b'"slot":"blue"', b'"slot":"purple"', 1))
    preview = preview_rollback(site_with_v2.site)
    assert "does not describe release" in closed(preview)["the history is whole"].detail
    assert preview.target is None
