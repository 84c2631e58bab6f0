"""Judge every rule on what the sources reported, and store each change together with the messages about it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from cakravia_verify.monitor.alerts import book
from cakravia_verify.monitor.alerts.machine import (
    Topic,
    acknowledged,
    advance,
    after_message,
    change_between,
    due_topic,
)
from cakravia_verify.monitor.alerts.maintenance import window_at
from cakravia_verify.monitor.alerts.message import Surroundings, Told, message_about
from cakravia_verify.monitor.alerts.model import Alert, AlertEvent, AlertReading, Change, Judgement, Silence
from cakravia_verify.monitor.alerts.rules import Rule
from cakravia_verify.monitor.alerts.view import View
from cakravia_verify.monitor.database import Database
from cakravia_verify.monitor.notify.message import Message
from cakravia_verify.monitor.notify.outbox import Outbox
from cakravia_verify.settings.monitor import MaintenanceWindow

# Alerts of one fault fire within moments of each other; they become one message.
GROUP_SECONDS: Final = 0.4
REREAD_SECONDS: Final = 1.0
MOST_UNSTORED: Final = 100


@dataclass(frozen=True)
class Evaluation:
    """What one look at the site led to."""

    events: tuple[AlertEvent, ...] = ()
    messages: tuple[Message, ...] = ()


class Evaluator:
    """The alerts of one site. It owns their states; every change is durable before its message can be sent.

    When the disk refuses a change, alerts go on in memory, and `unstored` holds the messages until it accepts them.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        database: Database,
        outbox: Outbox,
        *,
        surroundings: Callable[[], Surroundings],
        maintenance: Iterable[MaintenanceWindow] = (),
    ) -> None:
        self._rules = rules
        self._database = database
        self._outbox = outbox
        self._surroundings = surroundings
        self._maintenance = tuple(maintenance)
        self._silences: tuple[Silence, ...] = ()
        self._reread_at = 0.0
        self._saved: dict[str, Alert] = {}
        self._events: list[AlertEvent] = []
        self.unstored: list[Message] = []
        self.alerts: dict[str, Alert] = {}
        self.store_error = ""

    def load(self) -> None:
        """Take up the alerts where an earlier monitor left them. Raises sqlite3.Error."""
        self.alerts = self._database.transact(book.load_alerts)
        self._saved = dict(self.alerts)

    def evaluate(self, view: View) -> Evaluation:
        """Judge every rule once and store what changed, together with the messages that are due."""
        self._reread(view.now)
        events = [event for rule in self._rules for event in self._judge(rule, view)]
        messages = self._messages(view)
        self._events = [*self._events, *events][-MOST_UNSTORED:]
        self.unstored = [*self.unstored, *messages][-MOST_UNSTORED:]
        self._store()
        return Evaluation(tuple(events), tuple(messages))

    def _judge(self, rule: Rule, view: View) -> Iterable[AlertEvent]:
        reading = rule.read(view)
        if rule.source in view.silent:
            reading = AlertReading(Judgement.MISSING, view.now, f"{rule.source} reports nothing")
        if reading is None:
            return
        before = self.alerts.get(rule.name) or Alert(rule.name)
        if reading.at <= before.last_at and reading.verdict is not Judgement.MISSING:
            return
        after = advance(before, reading, rule.policy)
        self.alerts[rule.name] = after
        if change := change_between(before, after):
            is_bad = change in (Change.FIRED, Change.LOST_DATA)
            yield AlertEvent(view.now, rule.name, change, after.detail if is_bad else "")

    def _messages(self, view: View) -> list[Message]:
        due: dict[Topic, list[Told]] = {}
        in_maintenance = window_at(view.now, self._maintenance) is not None
        for rule in self._rules:
            alert = self.alerts.get(rule.name)
            if alert is None:
                continue
            is_muted = in_maintenance or self._is_silenced(rule) or self._is_folded(rule)
            topic = due_topic(alert, rule.policy, view.now, is_muted=is_muted)
            if topic is not None:
                due.setdefault(topic, []).append(Told(alert, rule))
        if not due or self._should_wait(due.get(Topic.FIRING, ()), view.now):
            return []
        return [self._told(topic, told, view.now) for topic, told in due.items()]

    def _should_wait(self, firing: Sequence[Told], now: float) -> bool:
        newest = max((told.alert.fired_at for told in firing), default=0.0)
        return 0 <= now - newest < GROUP_SECONDS

    def _told(self, topic: Topic, told: Sequence[Told], now: float) -> Message:
        first = told[0].alert
        number = f"{first.name}-{int(now * 1000)}-{first.messages + 1}"
        around = self._surroundings()
        names = {each.rule.name for each in told}
        also = [
            Told(self.alerts[rule.name], rule)
            for rule in self._rules
            if rule.name not in names and rule.name in self.alerts and self.alerts[rule.name].is_open
        ]
        for each in told:
            self.alerts[each.rule.name] = after_message(each.alert, topic, now)
        return message_about(topic, told, replace(around, also=tuple(also)), at=now, number=f"{around.site}-{number}")

    def _is_silenced(self, rule: Rule) -> bool:
        return book.silenced_by(rule.name, self._silences) is not None

    def _is_folded(self, rule: Rule) -> bool:
        """Whether the alert is a consequence of one that is open, whose message names it."""
        return any(name in self.alerts and self.alerts[name].is_open for name in rule.folds_into)

    def _reread(self, now: float) -> None:
        """Take up silences and acknowledgements that other processes wrote."""
        if 0 <= now - self._reread_at < REREAD_SECONDS:
            return
        self._reread_at = now
        try:
            self._silences, known = self._database.transact(
                lambda connection: (book.silences(connection, now=now), book.acknowledgements(connection))
            )
        except sqlite3.Error as error:
            self.store_error = str(error)
            return
        for name, alert in self.alerts.items():
            if alert.is_open and not alert.acknowledged_by and (who := known.get((name, alert.episode))):
                self.alerts[name] = acknowledged(alert, who)

    def _store(self) -> None:
        changed = [alert for name, alert in self.alerts.items() if _differs(alert, self._saved.get(name))]
        if not (changed or self._events or self.unstored):
            return

        def store(connection: sqlite3.Connection) -> None:
            book.save_alerts(connection, changed)
            book.add_events(connection, self._events)
            self._outbox.put_within(connection, self.unstored)

        try:
            self._database.transact(store)
        except sqlite3.Error as error:
            self.store_error = str(error)
            return
        self.store_error = ""
        self._saved |= {alert.name: alert for alert in changed}
        self._events, self.unstored = [], []


def _differs(alert: Alert, saved: Alert | None) -> bool:
    """Whether an alert is worth a write: counts and instants of readings alone are not."""
    return alert is not saved and (saved is None or _lasting(alert) != _lasting(saved))


def _lasting(alert: Alert) -> tuple[object, ...]:
    told = (alert.is_told, alert.told_at, alert.reminders, alert.acknowledged_by, alert.messages)
    return (alert.state, alert.is_open, alert.episode, alert.began_at, alert.firings, *told)
