"""The outbox: a stored message is delivered at least once, in order, whatever the channel and the process do."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cakravia_verify.monitor.database import Database, Durability
from cakravia_verify.monitor.notify.channel import NotDelivered
from cakravia_verify.monitor.notify.courier import Courier
from cakravia_verify.monitor.notify.message import Message, Urgency
from cakravia_verify.monitor.notify.outbox import GIVE_UP_AFTER, LONGEST_WAIT, SCHEMA, Outbox
from cakravia_verify.testing.memory import FakeClock

CHANNELS = {"ops": Urgency.WARNING, "phone": Urgency.PAGE}


class ScriptedChannel:
    """Follows a script: True accepts, False refuses, None dies after it accepted. Then it accepts everything."""

    name = "ops"

    def __init__(self, script: list[bool | None]) -> None:
        self._script = script
        self.accepted: list[str] = []

    def send(self, message: Message) -> None:
        does = self._script.pop(0) if self._script else True
        if does is False:
            raise NotDelivered("it is down")
        self.accepted.append(message.id)
        if does is None:
            raise KeyboardInterrupt


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / "alerts.db", SCHEMA, durability=Durability.POWER_CUT)
    yield opened
    opened.close()


def message(number: int, *, at: float = 0.0, urgency: Urgency = Urgency.PAGE) -> Message:
    return Message(f"m-{number}", "shop", at, "firing", urgency, f"message {number}", "text")


def run_until_empty(outbox: Outbox, channel: ScriptedChannel, clock: FakeClock) -> None:
    courier = Courier(outbox, channel, log=lambda _: None, clock=clock)
    while outbox.head(channel.name) is not None:
        try:
            clock.now += courier.deliver_next()
        except KeyboardInterrupt:
            courier = Courier(outbox, channel, log=lambda _: None, clock=clock)


@given(st.lists(st.sampled_from([True, False, None]), max_size=30), st.integers(1, 8))
def test_every_message_arrives_at_least_once_and_in_order(script: list[bool | None], number: int) -> None:
    clock, channel = FakeClock(), ScriptedChannel(list(script))
    with tempfile.TemporaryDirectory() as folder:
        database = Database(Path(folder) / "alerts.db", SCHEMA, durability=Durability.PROCESS)
        outbox = Outbox(database, channels={"ops": Urgency.INFO})
        outbox.put(message(each, at=clock.wall()) for each in range(number))
        run_until_empty(outbox, channel, clock)
        database.close()
    assert list(dict.fromkeys(channel.accepted)) == [f"m-{each}" for each in range(number)]
    assert channel.accepted == sorted(channel.accepted, key=lambda each: int(each[2:]))


def test_a_message_that_was_stored_is_there_after_a_restart(database: Database, tmp_path: Path) -> None:
    Outbox(database, channels=CHANNELS).put([message(1)])
    database.close()
    again = Outbox(Database(tmp_path / "alerts.db", SCHEMA, durability=Durability.POWER_CUT), channels=CHANNELS)
    due = again.head("phone")
    assert due is not None
    assert due.message == message(1)


def test_the_same_id_is_stored_once(database: Database) -> None:
    outbox = Outbox(database, channels=CHANNELS)
    outbox.put([message(1), message(1)])
    outbox.put([message(1)])
    assert [waiting.count for waiting in outbox.waiting()] == [1, 1]


def test_a_channel_gets_only_what_is_urgent_enough(database: Database) -> None:
    outbox = Outbox(database, channels=CHANNELS)
    outbox.put([message(1, urgency=Urgency.WARNING), message(2, urgency=Urgency.INFO)])
    assert {waiting.channel: waiting.count for waiting in outbox.waiting()} == {"ops": 1}


def test_a_failing_channel_delays_no_other(database: Database, clock: FakeClock) -> None:
    outbox = Outbox(database, channels={"ops": Urgency.INFO, "phone": Urgency.INFO})
    outbox.put([message(1, at=clock.wall())])
    Courier(outbox, ScriptedChannel([False]), log=lambda _: None, clock=clock).deliver_next()
    phone = outbox.head("phone")
    assert phone is not None
    assert phone.due <= clock.wall()


def test_waits_between_attempts_double_up_to_their_longest(database: Database, clock: FakeClock) -> None:
    outbox = Outbox(database, channels=CHANNELS)
    outbox.put([message(1, at=clock.wall())])
    courier = Courier(outbox, ScriptedChannel([False] * 12), log=lambda _: None, clock=clock)
    waits = []
    for _ in range(12):
        courier.deliver_next()
        waits.append(courier.deliver_next())
        clock.now += waits[-1]
    assert waits[:4] == pytest.approx([1, 2, 4, 8], abs=0.01)
    assert max(waits) <= LONGEST_WAIT


def test_a_message_is_not_held_back_by_a_clock_that_was_set_back(database: Database, clock: FakeClock) -> None:
    outbox, channel = Outbox(database, channels=CHANNELS), ScriptedChannel([False])
    outbox.put([message(1, at=clock.wall())])
    courier = Courier(outbox, channel, log=lambda _: None, clock=clock)
    courier.deliver_next()
    clock.now -= 86_400
    courier.deliver_next()
    assert channel.accepted == ["m-1"]


def test_a_message_nobody_accepts_for_a_week_makes_room(database: Database, clock: FakeClock) -> None:
    outbox, channel = Outbox(database, channels=CHANNELS), ScriptedChannel([False])
    outbox.put([message(1, at=clock.wall() - GIVE_UP_AFTER - 1), message(2, at=clock.wall())])
    run_until_empty(outbox, channel, clock)
    assert channel.accepted == ["m-2"]


def test_channels_that_left_the_settings_hold_nothing_back(database: Database) -> None:
    Outbox(database, channels=CHANNELS).put([message(1)])
    fewer = Outbox(database, channels={"ops": Urgency.INFO})
    fewer.drop_unknown_channels()
    assert [waiting.channel for waiting in fewer.waiting()] == ["ops"]
