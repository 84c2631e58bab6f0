"""Random faults of channels and of the monitor itself, on a simulated clock: each transition arrives, in order."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from cakravia_verify.monitor.alerts.book import load_events, open_book
from cakravia_verify.monitor.alerts.machine import Topic
from cakravia_verify.monitor.alerts.model import Change
from cakravia_verify.monitor.notify.channel import NotDelivered
from cakravia_verify.monitor.notify.courier import Courier
from cakravia_verify.monitor.notify.message import Message
from cakravia_verify.monitor.notify.outbox import LONGEST_WAIT, recent_messages
from tests.monitor.alerts.world import World

CHANNELS = ("ops", "mail")
# A schedule takes a quarter of a second; the first ones always run.
SEEDS = [pytest.param(seed, marks=() if seed < 8 else pytest.mark.slow) for seed in range(200)]


class Killed(BaseException):
    """SIGKILL of the monitor in the middle of a delivery."""


class Receiver:
    """A channel with its far end. What it accepted stays, also if the monitor is killed."""

    def __init__(self, name: str, world: Callable[[], World], chance: random.Random) -> None:
        self.name = name
        self.accepted: list[str] = []
        self.mood = "up"
        self.busy_until = 0.0
        self._world = world
        self._chance = chance

    def send(self, message: Message) -> None:
        if self.mood == "down" or (self.mood == "flaky" and self._chance.random() < 0.5):
            raise NotDelivered("status 503")
        if self.mood == "slow":
            self.busy_until = self._world().now + self._chance.uniform(1, 90)
            if self._chance.random() < 0.3:
                # It accepted the message, but its answer came too late.
                self.accepted.append(message.id)
                raise NotDelivered("no answer in time")
        self.accepted.append(message.id)
        if self.mood == "killed at the answer":
            raise Killed


class WorldClock:
    """The clock of the couriers is that of the world."""

    def __init__(self, world: World) -> None:
        self._world = world

    def wall(self) -> float:
        return self._world.now

    def monotonic(self) -> float:
        return self._world.now

    def sleep(self, seconds: float) -> None:
        raise AssertionError("no courier of a simulation sleeps")


class Schedule:
    """A site with an outage now and then, two channels with moods, and a monitor that is killed now and then."""

    def __init__(self, world: World, seed: int) -> None:
        self.chance = random.Random(seed)
        self.world = world
        self.receivers = [Receiver(name, lambda: self.world, self.chance) for name in CHANNELS]
        self.kills = 0
        self._open_couriers()

    def run(self) -> None:
        moods = ["up", "down", "slow", "flaky", "killed at the answer"]
        for _ in range(self.chance.randint(8, 16)):
            self.world.users = self.chance.choice(["", "connection refused"])
            for receiver in self.receivers:
                receiver.mood = self.chance.choice(moods)
            if self.chance.random() < 0.3:
                self.kill()
            for _ in range(self.chance.randint(1, 12)):
                self.world.pass_time(self.chance.choice([2, 4, 60]))
                self.deliver()
        self.world.users = ""
        for receiver in self.receivers:
            receiver.mood = "up"
        # The longest quiet time of an alert that flaps, and every backoff.
        self.world.pass_time(3 * 3600, step=60)
        for _ in range(200):
            self.deliver()
            self.world.now += LONGEST_WAIT / 4

    def deliver(self) -> None:
        for courier, receiver in zip(self.couriers, self.receivers, strict=True):
            for _ in range(10):
                if self.world.now < receiver.busy_until:
                    break
                try:
                    if courier.deliver_next() > 0:
                        break
                except Killed:
                    receiver.mood = "up"
                    self.kill()
                    return

    def kill(self) -> None:
        """The next monitor knows what is on the disk, and nothing else."""
        self.kills += 1
        self.world.restart_monitor()
        self._open_couriers()

    def _open_couriers(self) -> None:
        clock = WorldClock(self.world)
        self.couriers = [
            Courier(self.world.outbox, receiver, log=lambda _: None, clock=clock) for receiver in self.receivers
        ]


@pytest.mark.parametrize("seed", SEEDS)
def test_each_transition_arrives_in_order_on_every_channel(seed: int, quick_folder: Path) -> None:
    with closing(open_book(quick_folder)) as database:
        schedule = Schedule(World(database, channels=CHANNELS), seed)
        schedule.run()
        stored = [message for _, message, _ in database.transact(lambda each: recent_messages(each, last=5000))]
        events = database.transact(lambda each: load_events(each, last=5000))
    for receiver in schedule.receivers:
        assert list(dict.fromkeys(receiver.accepted)) == [message.id for message in stored]
    # Reminders aside, an alert is told to fire and to be good again in turns. One that is over at once is not told.
    told = [message.topic for message in stored if message.id.startswith("shop-site-") and message.topic != "reminder"]
    assert told == [Topic.FIRING, Topic.RESOLVED] * (len(told) // 2)
    fired = [event for event in events if event.name == "site" and event.change is Change.FIRED]
    assert len(told) <= 2 * len(fired)
