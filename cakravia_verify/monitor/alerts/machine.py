"""The state machine of an alert: pure functions from the last fact and one reading to the next fact."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import Any

from cakravia_verify.monitor.alerts.model import Alert, AlertReading, Change, Judgement, Policy, State


class Topic(StrEnum):
    """Why a message about an alert is due."""

    FIRING = "firing"
    REMINDER = "reminder"
    RESOLVED = "resolved"


def advance(alert: Alert, reading: AlertReading, policy: Policy) -> Alert:
    """Return the alert after one more reading. A reading that is not newer than the last one changes nothing."""
    if reading.verdict is Judgement.MISSING:
        return _without_data(alert, reading)
    if reading.at <= alert.last_at:
        return alert
    match reading.verdict:
        case Judgement.BAD:
            return _after_bad(alert, reading, policy)
        case Judgement.GOOD:
            return _after_good(alert, reading, policy)
    return _after_undecided(alert, reading)


def _without_data(alert: Alert, reading: AlertReading) -> Alert:
    """An open episode stays open: missing data is neither good nor bad."""
    if alert.state is State.NO_DATA:
        return alert
    return _moved(alert, State.NO_DATA, reading, bad_run=0, good_run=0, recent=())


def _after_undecided(alert: Alert, reading: AlertReading) -> Alert:
    """A planned change interrupts what is counted, and an open episode waits."""
    state = State.RECOVERING if alert.is_open else State.RESOLVED
    return _moved(alert, state, reading, last_at=reading.at, bad_run=0, good_run=0, recent=())


def _after_bad(alert: Alert, reading: AlertReading, policy: Policy) -> Alert:
    recent = (*alert.recent, True)[-policy.window :]
    is_first = not alert.is_open and not any(alert.recent)
    bad: dict[str, Any] = {
        "last_at": reading.at,
        "last_bad_at": reading.at,
        "bad_run": alert.bad_run + 1,
        "good_run": 0,
        "recent": recent,
        "began_at": reading.at if is_first else alert.began_at,
    }
    if alert.is_open:
        return _moved(alert, State.FIRING, reading, **bad)
    if alert.bad_run + 1 < policy.down and sum(recent) < max(policy.down, policy.share * policy.window):
        return _moved(alert, State.PENDING, reading, **bad)
    firings = (*(each for each in alert.firings if reading.at - each < policy.memory), reading.at)
    opened: dict[str, Any] = {
        "episode": alert.episode + 1,
        "is_open": True,
        "fired_at": reading.at,
        "firings": firings[-len(policy.quiet) :],
        "is_told": False,
        "reminders": 0,
        "acknowledged_by": "",
    }
    return _moved(alert, State.FIRING, reading, **bad, **opened)


def _after_good(alert: Alert, reading: AlertReading, policy: Policy) -> Alert:
    good: dict[str, Any] = {
        "last_at": reading.at,
        "bad_run": 0,
        "good_run": alert.good_run + 1,
        "recent": (*alert.recent, False)[-policy.window :],
    }
    if not alert.is_open:
        # Bad readings before so many good ones belong to no trouble that may begin now.
        is_calm = alert.good_run + 1 >= policy.up
        return _moved(alert, State.RESOLVED, reading, **good | ({"recent": ()} if is_calm else {}))
    quiet = policy.quiet[min(len(alert.firings), len(policy.quiet)) - 1]
    if alert.good_run + 1 < policy.up or reading.at - alert.last_bad_at < quiet:
        return _moved(alert, State.RECOVERING, reading, **good)
    return _moved(alert, State.RESOLVED, reading, **good | {"is_open": False, "recent": ()})


def _moved(alert: Alert, state: State, reading: AlertReading, **changes: Any) -> Alert:
    since = alert.since if alert.state is state else reading.at
    return replace(alert, state=state, since=since, detail=reading.detail or alert.detail, **changes)


def due_topic(alert: Alert, policy: Policy, now: float, *, is_muted: bool) -> Topic | None:
    """Return why a message about the alert is due now; None when receivers know what they should.

    While an alert is muted it does not fire or remind. Receivers who know of an episode are always told of its end.
    """
    if not alert.is_open:
        return Topic.RESOLVED if alert.is_told else None
    if is_muted or alert.state is State.RECOVERING:
        return None
    if not alert.is_told:
        return Topic.FIRING
    if alert.acknowledged_by or now - alert.told_at < remind_after(alert, policy):
        return None
    return Topic.REMINDER


def remind_after(alert: Alert, policy: Policy) -> float:
    """Return the seconds between the last message and the next reminder. They grow; a flapping alert waits longest."""
    if alert.is_flapping:
        return policy.longest_remind
    return min(policy.longest_remind, policy.remind * 4.0**alert.reminders)


def after_message(alert: Alert, topic: Topic, now: float) -> Alert:
    """Return the alert after receivers were told."""
    return replace(
        alert,
        is_told=topic is not Topic.RESOLVED,
        told_at=now,
        reminders=alert.reminders + (topic is Topic.REMINDER),
        messages=alert.messages + 1,
    )


def acknowledged(alert: Alert, who: str) -> Alert:
    """Return the alert with its open episode acknowledged: no reminder of it is sent."""
    return replace(alert, acknowledged_by=who) if alert.is_open else alert


def change_between(before: Alert, after: Alert) -> Change | None:
    """Return what happened from one fact to the next."""
    if after.is_open and not before.is_open:
        return Change.FIRED
    if before.is_open and not after.is_open:
        return Change.RESOLVED
    if after.state is State.NO_DATA and before.state is not State.NO_DATA:
        return Change.LOST_DATA
    if before.state is State.NO_DATA and after.state is not State.NO_DATA:
        return Change.HAS_DATA
    return None
