"""The monitor of one site: sources, alerts, store and messages put together, for as long as the process runs."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from cakravia_verify import __version__
from cakravia_verify.monitor.alerts.book import open_book
from cakravia_verify.monitor.alerts.evaluator import Evaluation, Evaluator
from cakravia_verify.monitor.alerts.message import Surroundings
from cakravia_verify.monitor.alerts.model import State
from cakravia_verify.monitor.alerts.rules import rules_for
from cakravia_verify.monitor.alerts.view import View
from cakravia_verify.monitor.facts import LastChange, PlatformFacts, ProbeTarget, ReleaseStatus, RollbackFacts
from cakravia_verify.monitor.notify.alive import AliveCalls
from cakravia_verify.monitor.notify.assembly import least_urgencies, open_channel
from cakravia_verify.monitor.notify.courier import Courier
from cakravia_verify.monitor.notify.message import Urgency
from cakravia_verify.monitor.notify.outbox import Outbox
from cakravia_verify.monitor.place import place_of
from cakravia_verify.monitor.recorder import SampleRecorder
from cakravia_verify.monitor.sampling.assembly import open_sources
from cakravia_verify.monitor.sampling.source import Board, SourceThread
from cakravia_verify.monitor.state import alert_as_json, facts_as_json, sources_as_json, write_state
from cakravia_verify.monitor.store.sample_store import Retention, SampleStore
from cakravia_verify.monitor.systemd import ServiceNotifier
from cakravia_verify.monitor.web.assembly import WebSide, newsworthy
from cakravia_verify.settings.models import Settings
from cakravia_verify.settings.section import size_in_bytes
from cakravia_verify.slots import Colour
from cakravia_verify.system.clock import SYSTEM_CLOCK, Clock
from cakravia_verify.system.memory import give_back_free_memory

# Facts are judged this often at least, and at most three times a second.
JUDGE_EVERY: Final = 0.5
JUDGE_PAUSE: Final = 0.3
STATE_EVERY: Final = 3.0
# Trouble that is over at once, such as a corrupt file, is told this long.
TROUBLE_SECONDS: Final = 600.0
# Messages that wait for longer than this are no longer "all is well".
LONGEST_WAITING: Final = 900.0
# After a command let go of the site, its last steps still show in older readings.
SETTLE_ROUNDS: Final = 4
DAY: Final = 86_400.0
FIRST_TRIM: Final = 10.0
TRIM_EVERY: Final = 600.0


class Monitor:
    """Watches one site. `run` returns when `stop` was called; `log` gets one line per event."""

    def __init__(
        self,
        settings: Settings,
        *,
        log: Callable[[str], None],
        log_file: Path | None = None,
        notifier: ServiceNotifier | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._settings = settings
        self._log = log
        self._log_file = log_file
        self._clock = clock
        self._notifier = notifier or ServiceNotifier()
        self._over = threading.Event()
        self._place = place_of(settings)
        self._database = open_book(self._place.folder)
        self._web = WebSide(settings, self._database, log=log)
        self._board = Board(clock, on_samples=self._web.observe)
        self._store = SampleStore(self._place.folder, retention=retention_of(settings), clock=clock)
        self._recorder = SampleRecorder(self._board, self._store, log=log)
        self._outbox = Outbox(self._database, channels=least_urgencies(settings.notify))
        self._evaluator = Evaluator(
            rules_for(settings.monitor),
            self._database,
            self._outbox,
            surroundings=self._surroundings,
            maintenance=settings.monitor.maintenance,
        )
        self._couriers = [
            Courier(self._outbox, open_channel(channel, settings.root), least=Urgency(channel.least), log=log)
            for channel in settings.notify.channels
        ]
        sources = open_sources(settings, on_probes=self._notifier.alive)
        self._rollback = SourceThread(sources.rollback, self._board, log=log)
        self._platform = SourceThread(sources.platform, self._board, log=log)
        others = (SourceThread(source, self._board, log=log) for source in sources.others)
        self._sources = [self._rollback, self._platform, *others]
        self._alive = AliveCalls(settings.notify, settings.root, is_well=self._is_well, log=log)
        self._started_at = clock.wall()
        # What the start took is free some rounds later.
        self._trimmed_at = clock.monotonic() - TRIM_EVERY + FIRST_TRIM
        self._settled_at = 0.0
        self._changed_at = 0.0
        self._last_change: LastChange | None = None
        self._seen: dict[Colour, tuple[str, str]] = {}
        self._restarted: dict[Colour, float] = {}
        self._known_aside: tuple[Path, ...] = ()
        self._set_aside_at = 0.0
        self._state_written_at = 0.0
        self._shown: tuple[Any, ...] = ()

    def run(self) -> None:
        """Watch the site until `stop` is called. Raises UsageError when another monitor of it runs."""
        handle = self._place.claim()
        try:
            self._start()
            self._judge_again_and_again()
        finally:
            self._notifier.stopping()
            self._end()
            os.close(handle)

    def stop(self) -> None:
        """End `run` soon. May be called from a signal handler."""
        self._over.set()

    def _start(self) -> None:
        try:
            self._evaluator.load()
            self._outbox.drop_unknown_channels()
        except sqlite3.Error as error:
            self._log(f"the alerts cannot be read: {error}; the monitor begins without them")
        self._log(f"monitor {__version__} of {self._settings.site.name} started, process {os.getpid()}")
        for thread in (self._recorder, *self._couriers, *self._sources):
            thread.start()
        self._web.start()
        if self._settings.notify.alive_url or self._settings.notify.alive_url_file:
            self._alive.start()
        self._notifier.ready()

    def _end(self) -> None:
        self._web.stop()
        threads: tuple[SourceThread | Courier | AliveCalls, ...] = (*self._sources, *self._couriers, self._alive)
        for thread in threads:
            thread.stop()
        self._recorder.stop()
        if self._recorder.is_alive():
            self._recorder.join(10)
        for courier in self._couriers:
            if courier.is_alive():
                courier.join(2)
        self._database.close()
        self._log("monitor stopped")

    def _judge_again_and_again(self) -> None:
        known = -1
        while not self._over.is_set():
            known = self._board.wait_for_news(known, seconds=JUDGE_EVERY)
            self._judge()
            if not 0 <= self._clock.monotonic() - self._trimmed_at < TRIM_EVERY:
                self._trimmed_at = self._clock.monotonic()
                give_back_free_memory()
            self._over.wait(JUDGE_PAUSE)

    def _judge(self) -> None:
        view = self._view()
        evaluation = self._evaluator.evaluate(view)
        self._tell(evaluation)
        if any(alert.state is State.PENDING for alert in self._evaluator.alerts.values()):
            self._refresh_rollback(view.now)
        shown = newsworthy(view, self._evaluator.alerts.values())
        is_news, self._shown = shown != self._shown, shown
        if is_news or not 0 <= view.now - self._state_written_at < STATE_EVERY:
            self._state_written_at = view.now
            self._write_state(view, is_news=is_news)

    def _tell(self, evaluation: Evaluation) -> None:
        for event in evaluation.events:
            self._log(f"alert {event.name} {event.change}{f': {event.detail}' if event.detail else ''}")
        for message in evaluation.messages:
            self._log(f"message {message.id}: {message.title}")
        if evaluation.messages:
            for courier in self._couriers:
                courier.carry(self._evaluator.unstored)
                courier.wake()

    def _refresh_rollback(self, now: float) -> None:
        """Preview the rollback anew before the message that names it is written."""
        facts = self._board.facts().get("rollback")
        if not isinstance(facts, RollbackFacts) or now - facts.at > 2 * self._settings.monitor.interval:
            self._rollback.wake()

    def _view(self) -> View:
        facts, now = self._board.facts(), self._clock.wall()
        release: ReleaseStatus | None = facts.get("release")
        platform: PlatformFacts | None = facts.get("platform")
        self._note_planned_changes(release, platform, now)
        if platform is not None:
            self._note_restarts(platform, is_planned=now < self._settled_at or _is_maintained(release, platform.at))
        return View(
            now=now,
            rounds={target: facts[target] for target in ProbeTarget if facts.get(target) is not None},
            release=release,
            platform=platform,
            host=facts.get("host"),
            certificate=facts.get("certificate"),
            drift=facts.get("drift"),
            vantage=facts.get("vantage"),
            traffic=facts.get("traffic"),
            silent=self._board.silent(),
            settled_at=self._settled_at,
            restarted=self._restarted,
            trouble=self._trouble(now),
        )

    def _note_planned_changes(self, release: ReleaseStatus | None, platform: PlatformFacts | None, now: float) -> None:
        """Let a change of the site settle: some rounds of probes, and until its slots were seen anew."""
        if release is None:
            return
        is_changed = self._last_change is not None and release.last_change != self._last_change
        self._last_change = release.last_change
        if release.is_busy or is_changed:
            self._changed_at = now
        elif self._changed_at and (platform is None or platform.at <= self._changed_at):
            self._platform.wake()
        else:
            return
        self._settled_at = now + SETTLE_ROUNDS * self._settings.monitor.interval

    def _note_restarts(self, platform: PlatformFacts, *, is_planned: bool) -> None:
        """Another process in a slot with the same version, while nothing changed the site, is a restart."""
        for slot in platform.slots:
            if not slot.identity:
                continue
            before = self._seen.get(slot.colour)
            self._seen[slot.colour] = (slot.identity, slot.version)
            if before and before[0] != slot.identity and before[1] == slot.version and not is_planned:
                self._restarted[slot.colour] = platform.at

    def _trouble(self, now: float) -> str:
        aside = [*self._store.set_aside, *self._database.set_aside]
        if len(aside) > len(self._known_aside):
            self._known_aside = tuple(aside)
            self._set_aside_at = now
        found = [self._recorder.trouble]
        if self._evaluator.store_error:
            found.append(f"alerts cannot be stored: {self._evaluator.store_error}")
        if self._known_aside and now - self._set_aside_at < TROUBLE_SECONDS:
            found.append(f"a corrupt file was set aside: {self._known_aside[-1].name}")
        return "; ".join(filter(None, found))

    def _surroundings(self) -> Surroundings:
        facts = self._board.facts()
        release: ReleaseStatus | None = facts.get("release")
        return Surroundings(self._settings.site.name, release.last_change if release else None, facts.get("rollback"))

    def _is_well(self) -> bool:
        """Whether the monitor does its work: probes report, alerts are stored, and messages leave."""
        if str(ProbeTarget.USERS) in self._board.silent() or self._evaluator.store_error:
            return False
        with contextlib.suppress(sqlite3.Error):
            now = self._clock.wall()
            return all(now - waiting.oldest < LONGEST_WAITING for waiting in self._outbox.waiting())
        return False

    def _write_state(self, view: View, *, is_news: bool) -> None:
        state = self._state(view)
        self._web.show(state, at_once=is_news)
        try:
            write_state(self._place.state_file, state)
        except OSError as error:
            self._log(f"the state file cannot be written: {error.strerror}")
        open_alerts = sum(alert.is_open for alert in self._evaluator.alerts.values())
        self._notifier.status(f"{self._settings.site.name}: {open_alerts} open alerts")

    def _state(self, view: View) -> Mapping[str, Any]:
        return {
            "site": self._settings.site.name,
            "version": __version__,
            "pid": os.getpid(),
            "started_at": self._started_at,
            "at": view.now,
            "every": STATE_EVERY,
            "log": str(self._log_file) if self._log_file else None,
            "active": str(view.active) if view.active else None,
            "trouble": view.trouble,
            "dropped_samples": self._board.dropped,
            "sources": sources_as_json(self._board.states(), view.silent),
            "facts": facts_as_json(self._board.facts()),
            "alerts": [alert_as_json(alert) for alert in self._evaluator.alerts.values()],
        }


def _is_maintained(release: ReleaseStatus | None, at: float) -> bool:
    return release is not None and release.maintenance is not None and release.maintenance.overlaps(at, at)


def retention_of(settings: Settings) -> Retention:
    """Return how long samples are kept, by the settings."""
    monitor = settings.monitor
    return Retention(
        raw=monitor.raw_days * DAY,
        minutes=monitor.minute_days * DAY,
        hours=monitor.hour_days * DAY,
        most_bytes=size_in_bytes(monitor.max_size),
    )


def run_until_signal(monitor: Monitor) -> None:
    """Run the monitor until SIGTERM, SIGINT or SIGHUP."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: monitor.stop())
    monitor.run()


def is_fresh(state: Mapping[str, Any]) -> bool:
    """Whether a state file was written by a monitor that works now."""
    at, every = state.get("at"), state.get("every")
    return isinstance(at, int | float) and isinstance(every, int | float) and time.time() - at < 5 * every + 5
