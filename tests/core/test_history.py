"""What the journal says of each release, read back."""

from __future__ import annotations

from typing import Any

import pytest

from cakravia_verify.errors import JournalError
from cakravia_verify.history import (
    PROMOTED,
    ROLLED_BACK,
    STUCK,
    UNPROVEN,
    last_holding,
    previous_of,
    records,
    unfinished,
)
from cakravia_verify.journal import Entry
from tests.core.memory_stage import Stage


def entry(event: str, release: str, **facts: Any) -> Entry:
    return Entry(1, "2026-01-01T00:00:00+00:00", event, release, facts.pop("step", ""), "ada@build", 1, facts)


def released(release: str, version: str, *, kind: str = "deploy", outcome: str = PROMOTED) -> list[Entry]:
    rows = [
        entry("release.started", release, kind=kind, version=version, slot="green", from_slot="blue"),
        entry("step.intent", release, step="build"),
        entry("step.done", release, step="build", seconds=0.5, digest=f"sha256:{version}"),
    ]
    return [*rows, entry("release.finished", release, outcome=outcome, seconds=12.5)] if outcome else rows


def test_a_record_tells_intent_outcome_digest_and_durations() -> None:
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


def test_a_started_entry_that_says_nothing_is_named_and_not_a_traceback() -> None:
    with pytest.raises(JournalError, match="entry 1 of the history does not say what release r1 is"):
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


def previous(rows: list[Entry], version: str) -> str | None:
    record = previous_of(rows, version=version, digest=f"sha256:{version}")
    return record.intent.version if record else None


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


def test_a_failed_release_is_nobodys_previous() -> None:
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
