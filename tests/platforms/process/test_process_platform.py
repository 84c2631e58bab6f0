"""Slots as real processes: started, found again, limited and stopped, whatever happened to their starter."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from cakravia_verify.errors import MissingTool, PlatformError, UsageError
from cakravia_verify.platforms.process.slots import ProcessPlatform
from cakravia_verify.settings.models import Settings
from cakravia_verify.slots import Artifact, Colour, Slot
from cakravia_verify.system.clock import poll
from cakravia_verify.system.processes import has_ended, identity_of, process_named
from tests.platforms.process.conftest import deadline
from tests.ports import free_ports

Ask = Callable[[Slot, str], str]


def pid_of(slot: Slot) -> int:
    return int(slot.identity.partition("@")[0])


def with_app(settings: Settings, **changes: object) -> Settings:
    return settings.model_copy(update={"app": settings.app.model_copy(update=changes)})


def test_a_started_slot_runs_the_version_it_was_given(started: Slot, ask: Ask, settings: Settings) -> None:
    told = json.loads(ask(started, "/"))
    assert told["APP_VERSION"] == "v1"
    assert told["DEPLOYMENT_SLOT"] == "blue"
    assert told["DEPLOYMENT_RELEASE"] == "r1"
    assert told["argv"] == ["tiny_app.py", "v1"]
    assert told["pid"] == pid_of(started)
    assert Path(told["cwd"]).is_relative_to(settings.state / "versions")


def test_a_slot_sees_only_the_environment_it_is_meant_to(
    settings: Settings, platform: ProcessPlatform, ask: Ask
) -> None:
    sheltered = ProcessPlatform(settings, environment={**os.environ, "SECRET_TOKEN": "x"})
    slot = sheltered.start(Colour.BLUE, sheltered.build("v1", deadline=deadline()), release="r1", deadline=deadline())
    assert "SECRET_TOKEN" not in json.loads(ask(slot, "/"))


def test_a_running_slot_is_observed_by_any_process(started: Slot, settings: Settings) -> None:
    assert ProcessPlatform(settings).observe(Colour.BLUE) == started
    assert ProcessPlatform(settings).observe(Colour.GREEN) is None


def test_a_stopped_slot_is_gone_and_stopping_again_is_harmless(started: Slot, platform: ProcessPlatform) -> None:
    for _ in range(2):
        platform.stop(Colour.BLUE, deadline=deadline())
        assert platform.observe(Colour.BLUE) is None
    assert process_named(started.identity) is None


def test_starting_again_replaces_what_ran_there(started: Slot, platform: ProcessPlatform, artifact: Artifact) -> None:
    again = platform.start(Colour.BLUE, artifact, release="r2", deadline=deadline())
    assert again.identity != started.identity
    assert process_named(started.identity) is None
    assert platform.observe(Colour.BLUE) == again


STARTER = """
import sys
from pathlib import Path
from cakravia_verify.system.clock import Deadline
from cakravia_verify.platforms.process.slots import ProcessPlatform
from cakravia_verify.settings.models import Settings
from cakravia_verify.slots import Colour
settings = Settings.model_validate_json(sys.stdin.read(), strict=False)
platform = ProcessPlatform(settings)
deadline = Deadline("start", 20)
print(platform.start(Colour.BLUE, platform.build("v1", deadline=deadline), release="r1", deadline=deadline).identity)
"""


def test_a_slot_survives_the_end_of_the_process_that_started_it(
    settings: Settings, platform: ProcessPlatform, ask: Ask
) -> None:
    said = subprocess.run(
        [sys.executable, "-c", STARTER],
        input=settings.model_dump_json(),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.strip()
    slot = platform.observe(Colour.BLUE)
    assert slot is not None
    assert slot.identity == said
    assert json.loads(ask(slot, "/"))["pid"] == pid_of(slot)
    platform.stop(Colour.BLUE, deadline=deadline())
    assert platform.observe(Colour.BLUE) is None


def test_the_files_of_a_slots_version_are_named(settings: Settings, platform: ProcessPlatform) -> None:
    chunks = settings.root / "source" / ".next" / "static" / "chunks"
    chunks.mkdir(parents=True)
    (chunks / "[slug].js").write_text("1")
    platform.start(Colour.BLUE, platform.build("v1", deadline=deadline()), release="r", deadline=deadline())
    assert platform.file_names(Colour.BLUE, ".next/static") == ("chunks/[slug].js",)
    for colour, folder in ((Colour.BLUE, "dist/assets"), (Colour.BLUE, "/etc"), (Colour.GREEN, ".next/static")):
        assert platform.file_names(colour, folder) == ()


def test_a_killed_slot_is_observed_as_empty(started: Slot, platform: ProcessPlatform, settings: Settings) -> None:
    os.kill(pid_of(started), signal.SIGKILL)
    poll(lambda: platform.observe(Colour.BLUE) is None, deadline=deadline(), every=0.01)
    assert ProcessPlatform(settings).observe(Colour.BLUE) is None


def test_an_application_that_ignores_sigterm_is_killed_after_its_grace(
    settings: Settings, platform: ProcessPlatform, ask: Ask
) -> None:
    deaf = ProcessPlatform(with_app(settings, environment={"IGNORES_SIGTERM": "1"}, grace=0.2))
    slot = deaf.start(Colour.BLUE, deaf.build("v1", deadline=deadline()), release="r1", deadline=deadline())
    ask(slot, "/")
    deaf.stop(Colour.BLUE, deadline=deadline())
    assert process_named(slot.identity) is None
    assert deaf.remarks() == ("blue did not end within 0.2 s of SIGTERM and was killed",)
    assert deaf.remarks() == ()


def test_what_the_application_started_ends_with_it(started: Slot, platform: ProcessPlatform, ask: Ask) -> None:
    child = psutil.Process(int(ask(started, "/child")))
    platform.stop(Colour.BLUE, deadline=deadline())
    poll(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, deadline=deadline(), every=0.01)


@pytest.mark.parametrize(("path", "is_recorded"), [("/child", True), ("/child", False), ("/daemon", True)])
def test_children_that_outlive_their_slot_end_before_the_next_start(
    started: Slot,
    platform: ProcessPlatform,
    artifact: Artifact,
    ask: Ask,
    settings: Settings,
    path: str,
    is_recorded: bool,
) -> None:
    left = psutil.Process(int(ask(started, path)))
    if not is_recorded:
        (settings.state / "slots" / "blue" / "slot.json").unlink()
    os.kill(pid_of(started), signal.SIGKILL)
    poll(lambda: platform.observe(Colour.BLUE) is None, deadline=deadline(), every=0.01)
    assert not has_ended(left)
    again = platform.start(Colour.BLUE, artifact, release="r2", deadline=deadline())
    assert has_ended(left)
    assert platform.observe(Colour.BLUE) == again


def test_stopping_a_slot_ends_children_in_their_own_session(started: Slot, platform: ProcessPlatform, ask: Ask) -> None:
    left = psutil.Process(int(ask(started, "/daemon")))
    platform.stop(Colour.BLUE, deadline=deadline())
    assert has_ended(left)


def test_a_slot_whose_first_thread_ended_still_runs_until_it_is_stopped(
    settings: Settings, platform: ProcessPlatform, ask: Ask
) -> None:
    odd = ProcessPlatform(with_app(settings, environment={"FIRST_THREAD_ENDS": "1"}, grace=0.2))
    slot = odd.start(Colour.BLUE, odd.build("v1", deadline=deadline()), release="r1", deadline=deadline())
    ask(slot, "/")
    poll(lambda: psutil.Process(pid_of(slot)).status() == psutil.STATUS_ZOMBIE, deadline=deadline(), every=0.01)
    assert odd.observe(Colour.BLUE) == slot
    ask(slot, "/")
    odd.stop(Colour.BLUE, deadline=deadline())
    assert odd.observe(Colour.BLUE) is None
    odd.check()


def copied(settings: Settings) -> Settings:
    """The whole site in another folder, on ports of its own, as `cp -a` and an editor make it."""
    root = settings.root.with_name(f"{settings.root.name}-copy")
    shutil.copytree(settings.root, root, symlinks=True)
    blue, green = free_ports(2)
    return settings.model_copy(
        update={"root": root, "slots": settings.slots.model_copy(update={"blue": blue, "green": green})}
    )


def test_a_copy_of_a_site_does_not_own_the_slots_of_the_original(
    started: Slot, platform: ProcessPlatform, settings: Settings, ask: Ask
) -> None:
    other = ProcessPlatform(copied(settings))
    assert other.observe(Colour.BLUE) is None
    other.stop(Colour.BLUE, deadline=deadline())
    (artifact,) = other.retained()
    own = other.start(Colour.BLUE, artifact, release="r2", deadline=deadline())
    try:
        assert json.loads(ask(own, "/"))["DEPLOYMENT_RELEASE"] == "r2"
        assert platform.observe(Colour.BLUE) == started
        assert json.loads(ask(started, "/"))["DEPLOYMENT_RELEASE"] == "r1"
    finally:
        other.stop(Colour.BLUE, deadline=deadline())
    assert platform.observe(Colour.BLUE) == started


def test_a_slot_without_a_record_is_found_by_its_environment(started: Slot, settings: Settings) -> None:
    (settings.state / "slots" / "blue" / "slot.json").unlink()
    found = ProcessPlatform(settings).observe(Colour.BLUE)
    assert found is not None
    assert (found.identity, found.version, found.digest, found.release) == (
        started.identity,
        started.version,
        started.digest,
        "r1",
    )


def test_a_slot_without_record_that_does_not_listen_yet_is_found_and_stopped(
    settings: Settings, platform: ProcessPlatform
) -> None:
    slow = ProcessPlatform(with_app(settings, environment={"STARTS_AFTER": "30"}))
    slot = slow.start(Colour.BLUE, slow.build("v1", deadline=deadline()), release="r1", deadline=deadline())
    (settings.state / "slots" / "blue" / "slot.json").unlink()
    other = ProcessPlatform(settings)
    assert other.observe(Colour.BLUE) is not None
    other.stop(Colour.BLUE, deadline=deadline())
    assert process_named(slot.identity) is None


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"version": 1}', '{"identity": 5}', "\x00"])
def test_an_unreadable_record_counts_as_missing(started: Slot, settings: Settings, content: str) -> None:
    (settings.state / "slots" / "blue" / "slot.json").write_text(content)
    found = ProcessPlatform(settings).observe(Colour.BLUE)
    assert found is not None
    assert found.identity == started.identity


def test_a_record_with_a_reused_process_id_is_an_empty_slot(
    platform: ProcessPlatform, started: Slot, settings: Settings
) -> None:
    platform.stop(Colour.BLUE, deadline=deadline())
    stranger = subprocess.Popen(["sleep", "60"])
    record = settings.state / "slots" / "blue" / "slot.json"
    record.write_text(
        json.dumps({
            "version": "v1", "digest": "d", "release": "r1", "host": "127.0.0.1", "port": 1, "started_at": 0.0,
            "folder": str(record.parent),
            "identity": started.identity.replace(str(pid_of(started)), str(stranger.pid), 1),
        })
    )  # fmt: skip
    assert platform.observe(Colour.BLUE) is None
    platform.stop(Colour.BLUE, deadline=deadline())
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def test_an_identity_does_not_depend_on_the_wall_clock() -> None:
    identity = identity_of(psutil.Process())
    ticks = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    assert identity.startswith(f"{os.getpid()}@{ticks}")


def test_a_port_of_a_foreign_process_is_named_and_not_touched(
    settings: Settings, platform: ProcessPlatform, artifact: Artifact
) -> None:
    with socket.create_server(("127.0.0.1", settings.slots.blue)):
        with pytest.raises(UsageError, match=rf"\[slots\] blue: .*in use by process {os.getpid()}") as caught:
            platform.check()
        assert "not touched" in caught.value.remedy
        with pytest.raises(UsageError, match="in use by"):
            platform.start(Colour.BLUE, artifact, release="r1", deadline=deadline())
        socket.create_connection(("127.0.0.1", settings.slots.blue)).close()


def test_a_new_address_for_a_running_slot_is_refused_without_a_change(started: Slot, settings: Settings) -> None:
    moved = settings.model_copy(update={"slots": settings.slots.model_copy(update={"blue": 1})})
    with pytest.raises(UsageError, match=rf"listens on {started.address} now"):
        ProcessPlatform(moved).check()


def test_a_site_that_could_run_is_checked_without_a_trace(settings: Settings, platform: ProcessPlatform) -> None:
    platform.check()
    assert not settings.state.exists()


def test_a_missing_command_is_named(settings: Settings) -> None:
    with pytest.raises(MissingTool, match="'no-such-program'"):
        ProcessPlatform(with_app(settings, command=("no-such-program",))).check()


def test_the_log_has_the_output_of_the_application(started: Slot, platform: ProcessPlatform) -> None:
    assert platform.logs(Colour.BLUE, lines=5).splitlines()[-1] == "listening as v1"
    assert platform.logs(Colour.GREEN, lines=5) == ""


def test_only_the_end_of_a_long_log_is_read(platform: ProcessPlatform, settings: Settings) -> None:
    log = settings.state / "slots" / "green" / "app.log"
    log.parent.mkdir(parents=True)
    with log.open("wb") as file:
        file.truncate(5 * 2**30)
        file.seek(0, os.SEEK_END)
        file.write(b"\nthe end\n")
    assert platform.logs(Colour.GREEN, lines=1) == "the end"


# Retained versions.


def changed_source(settings: Settings, note: str) -> None:
    (settings.root / "source" / "note.txt").write_text(note)


def test_the_same_source_is_the_same_artifact_and_another_is_not(settings: Settings, platform: ProcessPlatform) -> None:
    first = platform.build("v1", deadline=deadline())
    assert platform.build("v1", deadline=deadline()) == first
    changed_source(settings, "new")
    assert platform.build("v1", deadline=deadline()).digest != first.digest


def kept(settings: Settings, platform: ProcessPlatform, *versions: str) -> list[Path]:
    """The descriptions of versions that were added in this order."""
    found = []
    for version in versions:
        changed_source(settings, version)
        found.append(Path(f"{platform.build(version, deadline=deadline()).location}.json"))
    return found


def test_retained_versions_are_newest_first_after_a_clock_change(settings: Settings, platform: ProcessPlatform) -> None:
    for number, path in enumerate(kept(settings, platform, "v1", "v2", "v3")):
        os.utime(path, (9 - number, 9 - number))
    assert [artifact.version for artifact in platform.retained()] == ["v3", "v2", "v1"]
    platform.prune(keep=(), retain=2)
    assert [artifact.version for artifact in platform.retained()] == ["v3", "v2"]


def test_version_kept_again_is_the_newest(settings: Settings, platform: ProcessPlatform) -> None:
    kept(settings, platform, "v1", "v2", "v1")
    assert [artifact.version for artifact in platform.retained()] == ["v1", "v2"]


def test_versions_kept_before_they_were_numbered_come_by_their_age(
    settings: Settings, platform: ProcessPlatform
) -> None:
    for number, path in enumerate(kept(settings, platform, "v1", "v2", "v3")):
        row = json.loads(path.read_text())
        if row["version"] != "v1":
            del row["number"]
        path.write_text(json.dumps(row))
        os.utime(path, (number, number))
    assert [artifact.version for artifact in platform.retained()] == ["v1", "v3", "v2"]


def test_what_runs_is_never_pruned(started: Slot, settings: Settings, platform: ProcessPlatform) -> None:
    for version in ("v2", "v3"):
        changed_source(settings, version)
        platform.build(version, deadline=deadline())
    removed = platform.prune(keep=(), retain=1)
    assert [artifact.version for artifact in removed] == ["v2"]
    assert {artifact.version for artifact in platform.retained()} == {"v1", "v3"}
    assert not Path(removed[0].location).exists()


def test_unpromoted_versions_do_not_displace_promoted_ones(settings: Settings, platform: ProcessPlatform) -> None:
    kept(settings, platform, "v1", "v2", "v3", "bad-a", "bad-b", "bad-c", "v4")
    promoted = {each.digest for each in platform.retained() if each.version.startswith("v")}
    removed = platform.prune(keep=(), retain=3, promoted=promoted)
    assert [artifact.version for artifact in removed] == ["v1", "bad-c", "bad-b", "bad-a"]
    assert [artifact.version for artifact in platform.retained()] == ["v4", "v3", "v2"]


def test_unpromoted_versions_stay_while_retain_permits(settings: Settings, platform: ProcessPlatform) -> None:
    kept(settings, platform, "v1", "bad-a", "v2", "bad-b")
    promoted = {each.digest for each in platform.retained() if each.version.startswith("v")}
    assert [artifact.version for artifact in platform.prune(keep=(), retain=3, promoted=promoted)] == ["bad-a"]


def test_a_changed_retained_copy_is_refused_and_the_slot_goes_on(
    started: Slot, platform: ProcessPlatform, artifact: Artifact
) -> None:
    (Path(artifact.location) / "app" / "tiny_app.py").write_text("print('evil')")
    with pytest.raises(PlatformError, match="have changed") as caught:
        platform.start(Colour.BLUE, artifact, release="r2", deadline=deadline())
    assert "was not touched" in caught.value.remedy
    assert platform.observe(Colour.BLUE) == started


def test_a_new_deploy_replaces_a_changed_retained_copy(
    started: Slot, platform: ProcessPlatform, artifact: Artifact, ask: Ask
) -> None:
    (Path(artifact.location) / "app" / "tiny_app.py").write_text("print('evil')")
    again = platform.build("v1", deadline=deadline())
    assert again.digest == artifact.digest
    slot = platform.start(Colour.GREEN, again, release="r2", deadline=deadline())
    assert json.loads(ask(slot, "/"))["APP_VERSION"] == "v1"
    assert [each.digest for each in platform.retained()] == [artifact.digest]


def test_a_version_runs_by_the_command_it_was_built_with(
    settings: Settings, platform: ProcessPlatform, artifact: Artifact, ask: Ask
) -> None:
    later = ProcessPlatform(with_app(settings, command=("{python}", "renamed.py")))
    (kept,) = later.retained()
    slot = later.start(Colour.BLUE, kept, release="r2", deadline=deadline())
    assert json.loads(ask(slot, "/"))["argv"] == ["tiny_app.py", "v1"]


def test_a_moved_source_link_does_not_change_retained_versions(
    settings: Settings, platform: ProcessPlatform, ask: Ask
) -> None:
    link = settings.root / "current"
    link.symlink_to(settings.root / "source")
    linked = ProcessPlatform(with_app(settings, source="current"))
    kept = linked.build("v1", deadline=deadline())
    (settings.root / "next").mkdir()
    link.unlink()
    link.symlink_to(settings.root / "next")
    slot = linked.start(Colour.BLUE, kept, release="r2", deadline=deadline())
    assert json.loads(ask(slot, "/"))["APP_VERSION"] == "v1"


def test_the_error_of_a_failed_build_has_its_output(settings: Settings, platform: ProcessPlatform) -> None:
    failing = ProcessPlatform(
        with_app(settings, build=("{python}", "-c", "raise SystemExit('no compiler for {version}')"))
    )
    with pytest.raises(PlatformError, match="no compiler for v1"):
        failing.build("v1", deadline=deadline())
    assert not [path for path in (settings.state / "versions").iterdir() if path.name.startswith(".draft")]


def test_drafts_of_killed_builds_are_removed(settings: Settings, platform: ProcessPlatform) -> None:
    left = settings.state / "versions" / ".draft-999999999"
    left.mkdir(parents=True)
    platform.build("v1", deadline=deadline())
    assert not left.exists()


def test_a_source_that_is_not_a_folder_is_a_usage_error(settings: Settings) -> None:
    with pytest.raises(UsageError, match="is not a folder"):
        ProcessPlatform(with_app(settings, source="nowhere")).build("v1", deadline=deadline())


def test_an_unwritable_state_folder_is_a_platform_error(settings: Settings, platform: ProcessPlatform) -> None:
    settings.state.write_text("a file in the way")
    with pytest.raises(PlatformError, match="cannot be kept") as caught:
        platform.build("v1", deadline=deadline())
    assert caught.value.remedy
