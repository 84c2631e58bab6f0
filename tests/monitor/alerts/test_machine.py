"""The alert's state machine on a simulated clock."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cakravia_verify.monitor.alerts.machine import (
    Topic,
    acknowledged,
    advance,
    after_message,
    due_topic,
)
from cakravia_verify.monitor.alerts.model import Alert, AlertReading, Judgement, Policy, State

POLICY = Policy()
INTERVAL = 2.0
DAY = 86_400.0


@dataclass
class Run:
    """Readings every two seconds, and every message that they lead to."""

    alert: Alert = field(default_factory=lambda: Alert("site"))
    policy: Policy = POLICY
    now: float = 1_700_000_000.0
    interval: float = INTERVAL
    told: list[tuple[float, Topic]] = field(default_factory=list)

    def read(self, verdict: Judgement, *, is_muted: bool = False) -> None:
        self.now += self.interval
        self.alert = advance(self.alert, AlertReading(verdict, self.now), self.policy)
        if topic := due_topic(self.alert, self.policy, self.now, is_muted=is_muted):
            self.told.append((self.now, topic))
            self.alert = after_message(self.alert, topic, self.now)

    def read_all(self, verdicts: Iterable[Judgement]) -> Run:
        for verdict in verdicts:
            self.read(verdict)
        return self

    @property
    def topics(self) -> list[Topic]:
        return [topic for _, topic in self.told]


def spelled(text: str) -> list[Judgement]:
    words = {"g": Judgement.GOOD, "b": Judgement.BAD, "u": Judgement.UNDECIDED, "-": Judgement.MISSING}
    return [words[letter] for letter in text]


@pytest.mark.parametrize(
    ("readings", "state", "topics"),
    [
        ("gggg", State.RESOLVED, []),
        ("gb", State.PENDING, []),
        ("gbg", State.RESOLVED, []),
        ("gbb", State.FIRING, [Topic.FIRING]),
        ("gbbg", State.RECOVERING, [Topic.FIRING]),
        ("gbbgb", State.FIRING, [Topic.FIRING]),
        ("gbbggggg", State.RESOLVED, [Topic.FIRING, Topic.RESOLVED]),
        ("g---", State.NO_DATA, []),
        ("gbb--", State.NO_DATA, [Topic.FIRING]),
        ("gbb--b", State.FIRING, [Topic.FIRING]),
        ("gbb--ggggg", State.RESOLVED, [Topic.FIRING, Topic.RESOLVED]),
        ("gb-b", State.PENDING, []),
        ("gbub", State.PENDING, []),
        ("uuuu", State.RESOLVED, []),
        ("gbbuuu", State.RECOVERING, [Topic.FIRING]),
    ],
)
def test_readings_lead_to_the_state_and_the_messages(readings: str, state: State, topics: list[Topic]) -> None:
    run = Run().read_all(spelled(readings))
    assert (run.alert.state, run.topics) == (state, topics)


def test_an_alert_tells_since_when_from_its_first_bad_reading() -> None:
    run = Run().read_all(spelled("gggbb"))
    assert run.alert.began_at == run.now - INTERVAL


def test_a_reading_counts_once_however_often_it_is_looked_at() -> None:
    alert = Alert("site")
    for _ in range(5):
        alert = advance(alert, AlertReading(Judgement.BAD, 10.0), POLICY)
    assert (alert.state, alert.bad_run) == (State.PENDING, 1)


@pytest.mark.parametrize("block", [1, 2, 3, 7, 30, 600, 890])
def test_a_day_of_alternating_readings_sends_at_most_three_messages(block: int) -> None:
    run = Run()
    for number in range(int(DAY / INTERVAL)):
        run.read(Judgement.BAD if number // block % 2 else Judgement.GOOD)
    assert 1 <= len(run.told) <= 3, run.topics


def test_random_readings_of_a_day_send_few_messages() -> None:
    chance = random.Random(3)
    run = Run().read_all(chance.choice((Judgement.GOOD, Judgement.BAD)) for _ in range(int(DAY / INTERVAL)))
    assert 1 <= len(run.told) <= 3


def test_every_one_of_a_thousand_faults_is_told_within_three_intervals() -> None:
    chance, run = random.Random(11), Run()
    for _ in range(1000):
        for _ in range(chance.randint(5, 40)):
            run.read(Judgement.GOOD)
        run.now += 7 * 3600  # beyond the memory of flapping
        count, began = len(run.told), run.now
        for _ in range(chance.randint(3, 20)):
            run.read(Judgement.BAD)
        (told_at, topic) = run.told[count]
        assert topic is Topic.FIRING
        assert told_at - began <= 3 * INTERVAL
        for _ in range(POLICY.up):
            run.read(Judgement.GOOD)
        assert run.topics[-1] is Topic.RESOLVED


def test_a_fault_soon_after_another_is_told_though_the_alert_flaps() -> None:
    run = Run().read_all(spelled("gbbggggg" + "gbb"))
    assert run.topics == [Topic.FIRING, Topic.RESOLVED, Topic.FIRING]


def test_reminders_come_ever_later_and_stop_after_acknowledgement() -> None:
    run = Run(interval=60.0).read_all(spelled("gbb") + [Judgement.BAD] * int(3 * DAY / 60))
    hours = [round((at - run.told[0][0]) / 3600) for at, _ in run.told]
    assert hours == [0, 4, 20, 44, 68]
    run.alert = acknowledged(run.alert, "ann@host")
    count = len(run.told)
    run.read_all([Judgement.BAD] * int(3 * DAY / 60))
    assert len(run.told) == count
    run.read_all([Judgement.GOOD] * 5)
    assert run.topics[-1] is Topic.RESOLVED


def test_an_alert_that_outlasts_its_silence_is_told_at_its_end() -> None:
    run = Run()
    for _ in range(10):
        run.read(Judgement.BAD, is_muted=True)
    assert run.topics == []
    run.read(Judgement.BAD)
    assert run.topics == [Topic.FIRING]


def test_an_alert_that_came_and_went_in_silence_is_never_told() -> None:
    run = Run()
    for verdict in spelled("bbbbggggg"):
        run.read(verdict, is_muted=True)
    run.read_all(spelled("ggg"))
    assert run.topics == []


def test_receivers_of_an_alert_hear_of_its_end_also_in_silence() -> None:
    run = Run().read_all(spelled("bb"))
    for verdict in spelled("ggggg"):
        run.read(verdict, is_muted=True)
    assert run.topics == [Topic.FIRING, Topic.RESOLVED]


class AnyReadings(RuleBasedStateMachine):
    """Whatever is read, muted and acknowledged in whatever order."""

    def __init__(self) -> None:
        super().__init__()
        self.run = Run()

    @rule(verdicts=st.lists(st.sampled_from(Judgement), max_size=12), is_muted=st.booleans())
    def read(self, verdicts: Sequence[Judgement], is_muted: bool) -> None:
        for verdict in verdicts:
            self.run.read(verdict, is_muted=is_muted)

    @rule(seconds=st.floats(0, DAY))
    def wait(self, seconds: float) -> None:
        self.run.now += seconds

    @rule()
    def acknowledge(self) -> None:
        self.run.alert = acknowledged(self.run.alert, "ann")

    @rule()
    def recover_for_good(self) -> None:
        """However an alert got here, a day of good readings ends it, and receivers know."""
        for _ in range(20):
            self.run.now += 7200
            self.run.read(Judgement.GOOD)
        assert self.run.alert.state is State.RESOLVED
        assert not self.run.alert.is_told

    @rule()
    def fail_for_good(self) -> None:
        """However an alert got here, lasting bad readings fire, and receivers know."""
        for _ in range(3):
            self.run.read(Judgement.BAD)
        assert self.run.alert.state is State.FIRING
        assert self.run.alert.is_told

    @invariant()
    def messages_take_turns(self) -> None:
        spoken = [topic for topic in self.run.topics if topic is not Topic.REMINDER]
        assert spoken[::2] == [Topic.FIRING] * len(spoken[::2])
        assert spoken[1::2] == [Topic.RESOLVED] * len(spoken[1::2])

    @invariant()
    def an_open_episode_is_never_called_resolved(self) -> None:
        alert = self.run.alert
        assert alert.is_open is not (alert.state in (State.RESOLVED, State.PENDING)) or alert.state is State.NO_DATA


TestAnyReadings = AnyReadings.TestCase
TestAnyReadings.settings = settings(max_examples=200, stateful_step_count=20, deadline=None)
