"""The releases in the journal, read back as values."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cakravia_verify.errors import JournalError, LockHeld
from cakravia_verify.history.journal_file import JournalEntry
from cakravia_verify.history.previous_version import Build, previous_of
from cakravia_verify.history.releases import (
    PROMOTED,
    ROLLED_BACK,
    STUCK,
    UNPROVEN,
    Record,
    flaw_of,
    knows,
    last_holding,
    records,
    unfinished,
)
from cakravia_verify.history.running_release import require_ended, runs_still
from cakravia_verify.system.processes import identity_of
from tests.memory_stage import Stage


def entry(event: str, release: str, **facts: Any) -> JournalEntry:
    return JournalEntry(1, "2026-01-01T00:00:00+00:00", event, release, facts.pop("step", ""), "ada@build", 1, facts)


def released(
    release: str, version: str, *, kind: str = "deploy", outcome: str = PROMOTED, **facts: Any
) -> list[JournalEntry]:
    rows = [
        entry("release.started", release, kind=kind, version=version, slot="green", from_slot="blue", **facts),
        entry("step.intent", release, step="build"),
        entry("step.done", release, step="build", seconds=0.5, digest=f"sha256:{version}"),
    ]
    return [*rows, entry("release.finished", release, outcome=outcome, seconds=12.5)] if outcome else rows


def test_a_record_has_intent_outcome_digest_and_durations() -> None:
    (record,) = records(released("r1", "v1"))
    assert (record.intent.version, record.outcome, record.digest, record.seconds) == ("v1", PROMOTED, "sha256:v1", 12.5)
    assert record.begun == ("build",)
    assert record.step_seconds == (("build", 0.5),)


def test_entries_of_unknown_releases_are_passed_over() -> None:
    assert records([entry("step.intent", "nobody", step="build"), entry("lock.taken_over", "")]) == ()


def test_an_intent_survives_its_way_through_the_journal(site_with_v1: Stage) -> None:
    release = site_with_v1.release("v2")
    release.start()
    assert records(site_with_v1.site.journal.entries())[-1].intent == release.intent


def test_a_started_entry_without_an_intent_is_a_named_error() -> None:
    with pytest.raises(JournalError, match="entry 1 of the history does not describe release r1"):
        records([entry("release.started", "r1", kind="deploy")])


def test_unfinished_releases_come_newest_first() -> None:
    rows = [*released("r1", "v1", outcome=""), *released("r2", "v2", outcome="")]
    assert [record.intent.release for record in unfinished(rows)] == ["r2", "r1"]


def test_a_release_that_needed_a_person_is_unfinished_until_it_is_recovered() -> None:
    rows = released("r1", "v1", outcome=STUCK)
    assert unfinished(rows)
    assert not unfinished([*rows, entry("release.finished", "r1", outcome=ROLLED_BACK)])


def test_a_release_before_a_later_promotion_is_never_undone() -> None:
    rows = [*released("r1", "v1", outcome=STUCK), *released("r2", "v2")]
    assert unfinished(rows) == ()


def test_the_last_holding_release_is_the_newest_one_that_was_promoted() -> None:
    rows = [*released("r1", "v1"), *released("r2", "v2"), *released("r3", "v3", outcome=ROLLED_BACK)]
    last = last_holding(rows)
    assert last is not None
    assert last.intent.version == "v2"


def previous(rows: list[JournalEntry], version: str) -> str | None:
    build = previous_of(rows, version=version, digest=f"sha256:{version}")
    return build.version if build else None


def test_the_previous_version_is_the_one_before() -> None:
    assert previous([*released("r1", "v1"), *released("r2", "v2")], "v2") == "v1"


def test_there_is_nothing_before_the_first_version() -> None:
    assert previous(released("r1", "v1"), "v1") is None


def test_the_same_build_released_again_is_not_its_own_previous() -> None:
    rows = [*released("r1", "v1"), *released("r2", "v2"), *released("r3", "v2")]
    assert previous(rows, "v2") == "v1"


def test_a_rollback_that_stands_holds_users_as_one_that_was_promoted_does() -> None:
    rows = [*released("r1", "v1"), *released("r2", "v2"), *released("r3", "v3")]
    rows += [*released("r4", "v2", kind="rollback", outcome=UNPROVEN)]
    last = last_holding(rows)
    assert last is not None
    assert last.intent.release == "r4"
    assert previous(rows, "v2") == "v1"
    assert unfinished([*released("r0", "v0", outcome=""), *rows]) == ()


def test_a_failed_release_is_never_the_previous_version() -> None:
    rows = [*released("r1", "v1"), *released("r2", "v2", outcome=ROLLED_BACK), *released("r3", "v3")]
    assert previous(rows, "v3") == "v1"


def test_rolling_back_twice_goes_two_versions_back_and_not_forward_again() -> None:
    rows = [*released("r1", "v1"), *released("r2", "v2"), *released("r3", "v3")]
    assert previous(rows, "v3") == "v2"
    rows += released("r4", "v2", kind="rollback")
    assert previous(rows, "v2") == "v1"
    rows += released("r5", "v1", kind="rollback")
    assert previous(rows, "v1") is None


def test_a_deploy_after_a_rollback_has_the_rollbacks_target_before_it() -> None:
    rows = [*released("r1", "v1"), *released("r2", "v2"), *released("r3", "v1", kind="rollback"), *released("r4", "v3")]
    assert previous(rows, "v3") == "v1"


def test_a_version_the_history_does_not_know_has_the_newest_promoted_before_it() -> None:
    assert previous([*released("r1", "v1"), *released("r2", "v2")], "v9") == "v2"


def came_from(version: str) -> dict[str, str]:
    return {"from_version": version, "from_digest": f"sha256:{version}"}


def test_the_first_release_names_the_version_before_the_history() -> None:
    rows = [*released("r0", "v9", outcome=ROLLED_BACK, **came_from("v2")), *released("r3", "v3", **came_from("v2"))]
    assert previous_of(rows, version="v3", digest="sha256:v3") == Build("v2", "sha256:v2")
    rows += released("r4", "v4", **came_from("v3"))
    assert previous(rows, "v4") == "v3"


def test_a_rollback_to_before_the_history_began_is_not_taken_forward_again() -> None:
    rows = [*released("r3", "v3", **came_from("v2")), *released("r4", "v2", kind="rollback", **came_from("v3"))]
    assert previous(rows, "v2") is None


def test_a_history_that_begins_with_a_rollback_does_not_go_forward_by_it() -> None:
    assert previous(released("r1", "v2", kind="rollback", **came_from("v3")), "v2") is None


def test_only_the_first_release_names_the_version_before_the_history() -> None:
    rows = [*released("r1", "v1"), *released("r2", "v2", **came_from("v1")), *released("r3", "v1", **came_from("v2"))]
    rows += released("r4", "v2", kind="rollback", **came_from("v1"))
    rows += released("r5", "v1", kind="rollback", **came_from("v2"))
    assert previous(rows, "v1") is None


def running(process: str, *, host: str = socket.gethostname(), outcome: str = "") -> Record:
    return records(released("r1", "v1", outcome=outcome, process=process, host=host))[0]


def test_a_release_whose_process_lives_still_runs_and_its_holder_is_named() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        record = running(identity_of(psutil.Process(child.pid)))
        assert runs_still(record)
        with pytest.raises(LockHeld, match=rf"release r1 \(deploy v1\) still runs: ada@build, process {child.pid} on"):
            require_ended(record)
        assert not runs_still(running(record.process, outcome=PROMOTED))
        assert not runs_still(running(record.process, host="another.example"))
    finally:
        child.kill()
        child.communicate()
    assert not runs_still(record)
    require_ended(record)


@pytest.mark.parametrize("process", ["", "nobody", "0", pytest.param(f"{os.getpid()}@0.0", id="another start")])
def test_a_release_without_a_known_process_does_not_run(process: str) -> None:
    assert not runs_still(running(process))


def test_a_release_of_this_process_does_not_run_elsewhere() -> None:
    assert not runs_still(running(identity_of(psutil.Process())))


def test_the_first_entry_names_the_process_that_runs_the_release(site_with_v1: Stage) -> None:
    record = records(site_with_v1.site.journal.entries())[-1]
    assert (record.process, record.host) == (identity_of(psutil.Process()), socket.gethostname())


def test_a_history_knows_the_releases_that_began_in_it() -> None:
    rows = [*released("r1", "v1"), entry("step.done", "r2", step="build")]
    assert [knows(rows, release) for release in ("r1", "r2", "")] == [True, False, False]


def test_a_missing_or_meaningless_line_is_a_flaw_of_the_history(site_with_v1: Stage) -> None:
    journal = site_with_v1.site.journal
    content = journal.path.read_bytes()
    assert flaw_of(journal) == ""
    journal.path.write_bytes(content.replace(b'"slot":"blue"', b'"slot":"purple"', 1))
    assert "does not describe release" in flaw_of(journal)
    journal.path.write_bytes(b"".join(content.splitlines(keepends=True)[1:]))
    assert "entry 1 should follow" in flaw_of(journal)
    journal.path.unlink()
    journal.path.mkdir()
    assert "cannot be read" in flaw_of(journal)
    journal.path.rmdir()
    assert flaw_of(journal) == ""


outcomes = st.sampled_from(["", PROMOTED, UNPROVEN, ROLLED_BACK, STUCK])
histories = st.lists(st.tuples(st.sampled_from("abcdef"), outcomes, st.booleans()), max_size=8)


@given(histories, st.randoms(use_true_random=False))
def test_a_search_from_the_end_finds_what_a_full_read_finds(
    told: list[tuple[str, str, bool]], random: random.Random
) -> None:
    releases = [released(name + str(at), f"v-{name}", outcome=outcome) for at, (name, outcome, _) in enumerate(told)]
    rows = [
        row for rows, (_, _, is_late) in zip(releases, told, strict=True) for row in (rows[:-1] if is_late else rows)
    ]
    late = [rows[-1] for rows, (_, _, is_late) in zip(releases, told, strict=True) if is_late]
    random.shuffle(late)
    rows += late
    every = records(rows)
    holding = [record for record in every if record.holds_users]
    assert last_holding(rows) == (holding[-1] if holding else None)
    since = every[every.index(holding[-1]) + 1 :] if holding else every
    assert unfinished(rows) == tuple(record for record in reversed(since) if record.outcome in ("", STUCK))
