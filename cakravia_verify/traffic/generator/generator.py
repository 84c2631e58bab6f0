"""The running load: gives arrivals to users as planned, and counts and writes their results.

Gevent's hub drives it; Locust is not needed here, so tests and the Locust process use the same generator.
"""

from __future__ import annotations

import json
import time
from collections import Counter, deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gevent
from gevent.event import Event

from cakravia_verify.errors import TrafficError
from cakravia_verify.system.clock import NEVER, NOT_YET, Microseconds, to_seconds
from cakravia_verify.traffic.client.shared import RequestResult, StrictRun
from cakravia_verify.traffic.client.strict import StrictClient
from cakravia_verify.traffic.client.timer import Timer, now_us
from cakravia_verify.traffic.plan.schedule import Arrival, arrivals
from cakravia_verify.traffic.records.rows import (
    EVENT_HEADER,
    EVENTS_FILE,
    HEADER,
    IDLE_CLOSE,
    REQUESTS_FILE,
    SUMMARY_FILE,
    ConnectionEvent,
    Outcome,
    format_event,
    part_files,
)
from cakravia_verify.traffic.records.schedule_lag import ScheduleLag
from cakravia_verify.traffic.records.writer import FLUSH_SECONDS, Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cakravia_verify.traffic.plan.mix import MixEntry
    from cakravia_verify.traffic.plan.plan import TrafficPlan

_SUMMARY_EVERY = 10  # flushes


class Generator:
    """One run of a plan. Users call `serve()`; `begin()` starts the clock; `finish()` ends it and writes the summary.

    `on_answer(entry, latency, bytes, failure)` is called for every request; `more_users()` is called when an arrival
    finds every user busy and the pool may still grow. Of several processes (`plan.processes`) this is number `part`: it
    takes its share of the arrivals and keeps records of its own.
    """

    def __init__(
        self,
        plan: TrafficPlan,
        *,
        on_answer: Callable[[MixEntry, Microseconds, int, str], None] | None = None,
        more_users: Callable[[], None] | None = None,
        part: int = 0,
    ) -> None:
        folder = Path(plan.records)
        self.plan = plan
        self.part, self._parts = part, plan.processes
        self.timer = Timer()
        self.run = StrictRun(plan, timer=self.timer, records=self)
        self._on_answer = on_answer
        self._more_users = more_users
        requests, events, summary = (
            part_files(name, self._parts)[part] for name in (REQUESTS_FILE, EVENTS_FILE, SUMMARY_FILE)
        )
        self._requests = Recorder(folder / requests, header=HEADER)
        self._events = Recorder(folder / events, header=EVENT_HEADER)
        self._summary = folder / summary
        self._idle: deque[Any] = deque()
        self._late: deque[Arrival] = deque()
        self._users = self._most_users = self._busy = 0
        self._called = -(-plan.users // self._parts)
        self._most = max(self._called, plan.most_users // self._parts)
        self.failure: TrafficError | None = None
        self._arrivals: Iterator[Arrival] = iter(())
        self._next = Arrival(0, NOT_YET, 0)
        self._is_open = True
        self._all_done = Event()
        self._begun = self._ended = NOT_YET
        self._last = NEVER
        self._planned = self._started = self._idle_closes = self._foreign = self._follow_ups = 0
        self._outcomes: Counter[str] = Counter()
        self._lag = ScheduleLag()
        self._flushes = 0
        self._hub = gevent.get_hub()
        self._flusher = self._hub.loop.timer(FLUSH_SECONDS, FLUSH_SECONDS)
        self._flusher.start(self._flush)
        self._write_summary(None)

    # For users: each runs in a greenlet of its own.

    def serve(self) -> None:
        """Take arrivals one after the other, until the run ends."""
        client = StrictClient(self.run)
        self._users += 1
        self._most_users = max(self._most_users, self._users)
        try:
            while (arrival := self._take()) is not None:
                self._started += 1
                self._busy += 1
                self._lag.add(now_us() - arrival.planned)
                try:
                    client.send(arrival)
                finally:
                    self._busy -= 1
        finally:
            self._users -= 1
            client.close()
            if not self._busy and not self._is_open:
                self._all_done.set()

    def _take(self) -> Arrival | None:
        if not self._is_open:
            return None
        if self._late:
            return self._late.popleft()
        me = gevent.getcurrent()
        self._idle.append(me)
        try:
            arrival: Arrival | None = self._hub.switch()
        except BaseException:
            if me in self._idle:
                self._idle.remove(me)
            raise
        return arrival

    # The clock.

    def begin(self, *, at: Microseconds = NOT_YET) -> None:
        """Plan the first arrival for now, or for an instant on which several processes agreed."""
        if self._begun:
            return
        self._begun = at or now_us()
        self._arrivals = arrivals(self.plan, start=self._begun, part=self.part, parts=self._parts)
        self._next = next(self._arrivals)
        self.timer.at(self._next.planned, self._dispatch)

    def _dispatch(self) -> None:
        while self._is_open and self._next.planned <= min(now_us(), self._last):
            arrival = self._next
            self._next = next(self._arrivals)
            self._planned += 1
            if self._idle:
                self._idle.popleft().switch(arrival)
                continue
            self._late.append(arrival)
            if self._more_users is not None and self._called < self._most:
                self._called += 1  # counted when called: it takes a moment until the user is there
                self._more_users()
        if self._is_open:
            self.timer.at(self._next.planned, self._dispatch)

    def plan_until(self, last: Microseconds) -> None:
        """Plan no arrival later than `last`, so that several processes end with the same one."""
        self._last = last

    def finish(self, ended: str, *, grace: float) -> None:
        """Plan nothing more, wait up to `grace` seconds for requests in flight, and write the last summary."""
        if self._ended:
            return
        self._is_open = False
        self._ended = now_us()
        idle, self._idle = self._idle, deque()
        for user in idle:
            self._hub.loop.run_callback(user.switch, None)
        if self._busy:
            self._all_done.wait(grace)
        self.close(ended)

    def close(self, ended: str) -> None:
        """Write all records to disk, and a summary with the end of the run."""
        self._is_open = False
        self._ended = self._ended or now_us()
        self._flusher.stop()
        self._requests.close()
        self._events.close()
        self._write_summary(ended)

    # The records of the strict clients.

    def add_request(self, line: str, entry: MixEntry, result: RequestResult) -> None:
        self._outcomes[result.outcome] += 1
        self._follow_ups += result.is_follow_up
        self._write(self._requests, line)
        if self._on_answer is not None:
            failure = "" if result.outcome == Outcome.ANSWERED else f"{result.outcome}: {result.detail}"
            self._on_answer(entry, result.latency, result.size, failure)

    def add_foreign_request(self, line: str) -> None:
        """Record a request of the user's own Locust classes; it counts in no planned rate."""
        self._foreign += 1
        self._write(self._requests, line)

    def add_idle_close(self, at: Microseconds, connection: int, detail: str) -> None:
        self._idle_closes += 1
        self._write(self._events, format_event(ConnectionEvent(at, connection, IDLE_CLOSE, detail)))

    def _write(self, recorder: Recorder, line: str) -> None:
        try:
            recorder.write(line)
        except TrafficError as error:
            self._fail(error)

    def _fail(self, error: TrafficError) -> None:
        """Stop planning and end as an error: incomplete records prove nothing."""
        self.failure = self.failure or error
        self._is_open = False

    def _flush(self) -> None:
        self._flushes += 1
        try:
            self._requests.flush()
            self._events.flush()
            if self._flushes % _SUMMARY_EVERY == 0:
                self._write_summary(None)
        except TrafficError as error:
            self._fail(error)

    def summary(self, ended: str | None) -> dict[str, Any]:
        """Return the content of traffic.json. The achieved rate counts arrivals taken up while the schedule ran.

        `planned`, `started` and `finished` count every row of the records: arrivals, what followed from them
        (`follow_ups`) and requests of the user's own classes (`foreign`); the last two were never planned apart.
        """
        seconds = max(0.0, to_seconds((self._ended or now_us()) - self._begun)) if self._begun else 0.0
        beside = self._follow_ups + self._foreign
        arrived = sum(self._outcomes.values()) - self._follow_ups
        return {
            "schema": 1,
            "run": self.plan.run,
            "planned": self._planned + beside,
            "started": self._started + beside,
            "finished": arrived + beside,
            "never_started": self._planned - self._started,
            "unfinished": self._started - arrived,
            **{outcome: self._outcomes[outcome] for outcome in Outcome},
            "foreign": self._foreign,
            "follow_ups": self._follow_ups,
            "rate_planned": round(self._planned / seconds, 3) if seconds else 0.0,
            "rate_achieved": round(self._started / seconds, 3) if seconds else 0.0,
            "seconds": round(seconds, 6),
            "users": self._most_users,
            "connections": self.run.connections,
            "round_trip": self.plan.round_trip,
            "idle_closes": self._idle_closes,
            "anchor": {"wall": time.time(), "monotonic": time.monotonic()},
            "schedule_lag": self._lag.in_seconds(),
            **({"lag_counts": self._lag.counts} if self._parts > 1 else {}),
            "ended": ended,
        }

    def _write_summary(self, ended: str | None) -> None:
        beside = self._summary.with_suffix(".json.new")
        try:
            # Indenting takes Python's own encoder, whose functions refer to each other: every call would leave some
            # twenty objects to the garbage collector. It runs so rarely here that they would pile up.
            beside.write_text(json.dumps(self.summary(ended), indent=1 if ended else None) + "\n")
            beside.replace(self._summary)
        except OSError as error:
            raise TrafficError(f"{self._summary}: {error.strerror}", remedy="make room on its disk") from error
