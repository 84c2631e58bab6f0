"""The slots over time, from the entries of a history."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cakravia_verify.history.journal import Journal
from cakravia_verify.monitor.web.lanes import MOST_MARKS, lanes_of
from cakravia_verify.monitor.web.snapshot import Lanes
from cakravia_verify.testing.memory import FakeClock


class Story:
    """A history that grows by whole releases; every entry is a second after the one before."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.journal = Journal(folder / "history", clock=self.clock)
        self.count = 0

    def note(self, event: str, *, release: str = "", step: str = "", **facts: Any) -> float:
        self.clock.sleep(1.0)
        entry = self.journal.append(event, release=release, step=step, **facts)
        return datetime.fromisoformat(entry.at).astimezone(UTC).timestamp()

    def release(self, version: str, slot: str, *, before: tuple[str, str] | None, goes_back: bool = False) -> float:
        """Return the instant of the switch."""
        self.count += 1
        name = f"r-{self.count}"
        old, old_version = before or (None, None)
        facts: dict[str, Any] = {
            "kind": "deploy",
            "version": version,
            "slot": slot,
            "from_slot": old,
            "from_version": old_version,
        }
        self.note("release.started", release=name, **facts)
        self.note("step.done", release=name, step="stage", seconds=1.0)
        at = self.note("step.done", release=name, step="switch", seconds=0.01, milliseconds=0.4)
        if goes_back:
            self.note("undo.done", release=name, step="switch")
            self.note("undo.done", release=name, step="stage")
        self.note("release.finished", release=name, outcome="rolled back" if goes_back else "promoted")
        return at

    def lanes(self) -> Lanes:
        return lanes_of(self.journal.entries(), now=self.clock.wall())


@pytest.fixture
def story(quick_folder: Path) -> Story:
    return Story(quick_folder)


def test_users_are_in_one_slot_at_a_time(story: Story) -> None:
    first = story.release("v1", "blue", before=None)
    second = story.release("v2", "green", before=("blue", "v1"))
    users = story.lanes().users
    assert [(each.colour, each.version, each.began, each.ended) for each in users] == [
        ("blue", "v1", first, second),
        ("green", "v2", second, None),
    ]


def test_the_old_version_stays_in_its_slot_until_the_next_one_comes(story: Story) -> None:
    story.release("v1", "blue", before=None)
    story.release("v2", "green", before=("blue", "v1"))
    story.release("v3", "blue", before=("green", "v2"))
    blue = [each for each in story.lanes().occupied if each.colour == "blue"]
    assert [each.version for each in blue] == ["v1", "v3"]
    assert blue[0].ended == blue[1].began


def test_a_release_that_goes_back_has_two_switches(story: Story) -> None:
    story.release("v1", "blue", before=None)
    story.release("v2", "green", before=("blue", "v1"), goes_back=True)
    lanes = story.lanes()
    assert [(each.version, each.is_return) for each in lanes.switches] == [("v1", False), ("v2", False), ("v1", True)]
    assert lanes.users[-1].colour == "blue"
    assert all(each.ended for each in lanes.occupied if each.version == "v2")


def test_no_slot_has_users_while_the_site_is_down(story: Story) -> None:
    story.release("v1", "blue", before=None)
    down = story.note("site.down", stopped=["blue"])
    assert all(each.ended == down for each in story.lanes().users)
    up = story.note("site.up", version="v1", slot="blue")
    assert story.lanes().users[-1].began == up


def test_a_long_history_is_bounded(story: Story) -> None:
    before = None
    for number in range(60):
        colour = "green" if number % 2 else "blue"
        story.release(f"v{number}", colour, before=before)
        before = (colour, f"v{number}")
    lanes = story.lanes()
    assert len(lanes.switches) <= MOST_MARKS
    assert len(lanes.users) <= MOST_MARKS
    assert lanes.users[-1].version == "v59"


def test_a_history_without_a_release_has_empty_lanes(story: Story) -> None:
    lanes = story.lanes()
    assert (lanes.users, lanes.switches) == ((), ())
    assert lanes.until > lanes.since
