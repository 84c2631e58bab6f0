"""Which of two copies of a history is right."""

from __future__ import annotations

import pytest

from cakravia_verify.history.journal_file import JournalEntry
from cakravia_verify.history.shared_copy import reconciled


def history(*tokens: int, event: str = "step.done") -> bytes:
    """Entries numbered from 1, written under these leases."""
    return b"".join(
        JournalEntry(seq, "2026-01-01T00:00:00", event, "r1", "", "ada@build", token).as_line()
        for seq, token in enumerate(tokens, 1)
    )


@pytest.mark.parametrize(
    ("local", "shared"),
    [
        pytest.param(history(1, 1), history(1, 1), id="equal"),
        pytest.param(history(1, 1), b"", id="first machine"),
        pytest.param(history(1, 1), history(1), id="engine lags"),
        pytest.param(history(1, 1)[:-30], history(1), id="torn by a crash"),
    ],
)
def test_a_copy_on_the_engine_that_lags_is_no_news(local: bytes, shared: bytes) -> None:
    result = reconciled(local, shared)
    assert (result.content, result.displaced, result.notice) == (local, b"", "")


def test_a_folder_that_lags_is_told_how_far_and_what_came_last() -> None:
    result = reconciled(history(1), history(1, 1, 2))
    assert (result.content, result.displaced) == (history(1, 1, 2), b"")
    assert "lagged 2 entries behind" in result.notice
    assert "step.done r1, ada@build" in result.notice


def test_a_new_folder_is_given_the_history() -> None:
    result = reconciled(b"", history(1, 1))
    assert result.content == history(1, 1)
    assert "had no history" in result.notice


def test_of_two_histories_the_one_with_the_newer_lease_is_right() -> None:
    ours, theirs = history(1, 1, event="ours"), history(1, 2, event="theirs")
    assert reconciled(ours, theirs).content == theirs
    assert reconciled(ours, theirs).displaced == ours
    assert reconciled(theirs, ours).content == theirs
    assert reconciled(theirs, ours).displaced == ours


def test_a_history_that_a_person_corrected_is_right() -> None:
    whole = history(1, 1, 1)
    damaged = whole.replace(b'"seq":2', b'"seq":x')
    assert reconciled(whole, damaged).content == whole
    assert reconciled(damaged, whole).content == whole
