"""An outage that does not happen: whether the alerts of a site would fire, be told on its channels, and resolve."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cakravia_verify.monitor.alerts.book import open_book
from cakravia_verify.monitor.alerts.evaluator import GROUP_SECONDS, Evaluator
from cakravia_verify.monitor.alerts.machine import Topic
from cakravia_verify.monitor.alerts.message import Surroundings
from cakravia_verify.monitor.alerts.rules import rules_for
from cakravia_verify.monitor.alerts.view import View
from cakravia_verify.monitor.facts import Probe, ProbeTarget, ReleaseStatus, Round
from cakravia_verify.monitor.notify.assembly import least_urgencies
from cakravia_verify.monitor.notify.message import Message
from cakravia_verify.monitor.notify.outbox import Outbox
from cakravia_verify.settings.models import Settings
from cakravia_verify.slots import Colour

PROBLEM: Final = "connection refused (a rehearsal)"
_MOST_ROUNDS: Final = 2000


@dataclass(frozen=True)
class Rehearsal:
    """What an outage would lead to: after `bad_rounds` the message with this `title`, for the channels in `told`.

    `good_rounds` is how many good rounds it took until its end was told.
    """

    bad_rounds: int
    good_rounds: int
    title: str
    told: tuple[str, ...]

    @property
    def has_fired(self) -> bool:
        return bool(self.title)


def rehearse(settings: Settings, *, now: float) -> Rehearsal:
    """Let probes fail and recover on a clock of its own, beside the site's monitor. Nothing is sent or kept.

    Maintenance windows are left out: a quiet time of the week is no reason not to rehearse.
    """
    with _stage(settings) as (evaluator, outbox):
        every = settings.monitor.interval
        bad, fired = _rounds(evaluator, PROBLEM, now, every, until=Topic.FIRING)
        told = tuple(sorted(each.channel for each in outbox.waiting()))
        good, _ = _rounds(evaluator, "", now + (bad + 1) * every, every, until=Topic.RESOLVED)
        return Rehearsal(bad, good, fired.title if fired else "", told)


@contextmanager
def _stage(settings: Settings) -> Iterator[tuple[Evaluator, Outbox]]:
    with tempfile.TemporaryDirectory(prefix="cakravia-rehearsal-") as folder:
        database = open_book(Path(folder))
        outbox = Outbox(database, channels=least_urgencies(settings.notify))
        surroundings: Callable[[], Surroundings] = lambda: Surroundings(settings.site.name)  # noqa: E731
        try:
            yield Evaluator(rules_for(settings.monitor), database, outbox, surroundings=surroundings), outbox
        finally:
            database.close()


def _rounds(
    evaluator: Evaluator, problem: str, now: float, every: float, *, until: Topic
) -> tuple[int, Message | None]:
    """Return how many rounds of probes it took until a message of that topic, and the message."""
    for number in range(1, _MOST_ROUNDS):
        at = now + number * every
        # Alerts of one fault are collected for a moment before they are told.
        messages = [
            message
            for later in (0.0, GROUP_SECONDS)
            for message in evaluator.evaluate(_view(at, problem, later=later)).messages
        ]
        if found := next((each for each in messages if each.topic == until), None):
            return number, found
    return _MOST_ROUNDS, None


def _view(at: float, problem: str, *, later: float) -> View:
    users = Round(ProbeTarget.USERS, at, (Probe("health", problem, str(Colour.BLUE), "rehearsal"),))
    release = ReleaseStatus(at, "", True, False, Colour.BLUE, False, "", None)
    return View(now=at + later, rounds={ProbeTarget.USERS: users}, release=release)
