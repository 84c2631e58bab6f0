"""The locustfile of the child process: the strict users, and the user's own classes beside them.

The plan comes through the environment variable CAKRAVIA_TRAFFIC_PLAN. A line on standard input, or its end, ends the
run: `stop` is a request to end; an end without it means that the parent process is gone.
"""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

# Locust puts this folder in front of the module path while it reads this file, and removes the first entry afterwards;
# `statistics` and `records` here must not stand for modules of those names elsewhere.
_HERE = Path(__file__).resolve().parent
if sys.path and Path(sys.path[0]).resolve() == _HERE:
    sys.path[0] = str(_HERE.parents[2])

import gevent  # noqa: E402
import psutil  # noqa: E402
from gevent.event import Event  # noqa: E402
from gevent.os import make_nonblocking, nb_read  # noqa: E402
from locust import User, events, task  # noqa: E402
from locust.exception import StopUser  # noqa: E402
from locust.runners import STATE_RUNNING, MasterRunner, WorkerRunner  # noqa: E402

from cakravia_verify.errors import CakraviaError  # noqa: E402
from cakravia_verify.system.clock import Microseconds, to_microseconds, to_seconds  # noqa: E402
from cakravia_verify.traffic.client.timer import now_us  # noqa: E402
from cakravia_verify.traffic.generator.generator import Generator  # noqa: E402
from cakravia_verify.traffic.generator.locust_memory import keep_lean  # noqa: E402
from cakravia_verify.traffic.plan.mix import MixEntry  # noqa: E402
from cakravia_verify.traffic.plan.plan import TrafficPlan  # noqa: E402
from cakravia_verify.traffic.process import PLAN_VARIABLE, STOP_WORD  # noqa: E402
from cakravia_verify.traffic.records.rows import Outcome, Row, format_row  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

    from locust.env import Environment
    from locust.rpc import Message
    from locust.runners import Runner

PLAN = TrafficPlan.from_json(Path(os.environ[PLAN_VARIABLE]).read_text())
_OWN: dict[str, object] = {"cakravia": "strict"}
_ENDED_BY_SIGNAL = "error"
_BEGIN, _END, _ENDED = "cakravia_begin", "cakravia_end", "cakravia_ended"
_AGREEMENT = Microseconds(200_000)
"""The time between the agreement on the first or last instant and that instant: messages need a moment."""


class StrictUser(User):
    """One connection of the pool; takes the next arrival whenever it is idle."""

    fixed_count = PLAN.users
    weight = 1

    @task
    def arrivals(self) -> None:
        _ready.wait()
        _load().serve()
        raise StopUser


_running: list[Generator] = []
_ready = Event()


def _load() -> Generator:
    return _running[0]


@events.init.add_listener  # type: ignore[untyped-decorator]
def prepare(environment: Environment, runner: Runner, **_: object) -> None:
    """Prepare this process for its part: all of the load, a share of it, or the lead of the processes that share it."""
    keep_lean(environment.stats)
    if isinstance(runner, MasterRunner):
        gevent.spawn(_lead, environment, runner)
    elif isinstance(runner, WorkerRunner):
        _take_part(environment, runner)
    else:
        _make_load(environment, runner, part=0)
        gevent.spawn(_see_to_the_end, environment, runner)


def _make_load(environment: Environment, runner: Runner, *, part: int) -> None:
    request = environment.events.request

    def report_to_locust(entry: MixEntry, latency: Microseconds, size: int, failure: str) -> None:
        request.fire(  # type: ignore[no-untyped-call]
            request_type=entry.method,
            name=entry.name,
            response_time=to_seconds(latency) * 1000,
            response_length=size,
            exception=failure or None,
            context=_OWN,
        )

    def add_user() -> None:
        gevent.spawn(runner.spawn_users, {StrictUser.__name__: 1})

    try:
        _running.append(Generator(PLAN, on_answer=report_to_locust, more_users=add_user, part=part))
    except CakraviaError as error:
        print(error, file=sys.stderr, flush=True)
        os._exit(1)
    _ready.set()
    # What Locust has loaded stays until the end; looking through it for garbage again and again stalls the schedule.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)


@events.spawning_complete.add_listener  # type: ignore[untyped-decorator]
def start(**_: object) -> None:
    if PLAN.processes == 1 and _running:
        _load().begin()


# One process.


def _see_to_the_end(environment: Environment, runner: Runner) -> None:
    generator = _load()
    ended = _wait_for_end(lambda: generator.failure is not None)
    if generator.failure is not None:
        ended = "error"
        print(generator.failure, file=sys.stderr, flush=True)
    environment.process_exit_code = 1 if ended == "error" else 0
    generator.finish(ended, grace=PLAN.longest_timeout + 1)
    _quit(environment, runner)


def _wait_for_end(is_over: Callable[[], bool]) -> str:
    """Wait for the end. Returns `asked` if standard input says stop, `orphaned` if it ends without that."""
    make_nonblocking(0)
    received = b""
    while not is_over():
        chunk = None
        with gevent.Timeout(0.5, False):
            chunk = nb_read(0, 1024)
        if chunk is None:
            continue
        received += chunk
        if not chunk or b"\n" in received:
            return "asked" if STOP_WORD.encode() in received else "orphaned"
    return "error"


def _quit(environment: Environment, runner: Runner) -> None:
    runner.quit()
    if environment.web_ui is not None:
        environment.web_ui.stop()  # type: ignore[no-untyped-call]


# Several processes: a leader that sends nothing itself, and workers with a part of the schedule each.


def _lead(environment: Environment, runner: MasterRunner) -> None:
    """Every worker begins at one instant, and has ended before this process does."""
    ends: dict[str, str] = {}

    def note_end(msg: Message, **_: object) -> None:
        ends[msg.node_id] = msg.data["ended"]

    runner.register_message(_ENDED, note_end)
    gevent.spawn(_begin_together, runner)
    ended = _wait_for_end(lambda: bool(ends) or _is_broken(runner))
    runner.send_message(_END, {"ended": ended, "last": now_us() + _AGREEMENT})
    with gevent.Timeout(PLAN.longest_timeout + 3, False):
        while len(ends) < PLAN.processes and not _is_broken(runner):
            gevent.sleep(0.1)
    is_good = len(ends) == PLAN.processes and set(ends.values()) == {ended} and ended != "error"
    environment.process_exit_code = 0 if is_good else 1
    _quit(environment, runner)


def _begin_together(runner: MasterRunner) -> None:
    # Every user has to be there: an arrival that finds none would be late.
    while runner.state != STATE_RUNNING or runner.user_count < PLAN.users:
        gevent.sleep(0.02)
    at = now_us() + _AGREEMENT
    for part, client in enumerate(sorted(runner.clients)):
        runner.send_message(_BEGIN, {"part": part, "at": at}, client_id=client)


def _is_broken(runner: MasterRunner) -> bool:
    """Whether a worker is gone, so that its part of the load is not sent."""
    children = psutil.Process().children()
    return runner.state == STATE_RUNNING and (
        len(runner.clients) - len(runner.clients.missing) < PLAN.processes
        # Locust itself misses a worker only after seconds without a word from it.
        or any(child.status() == psutil.STATUS_ZOMBIE for child in children)
    )


def _take_part(environment: Environment, runner: WorkerRunner) -> None:
    leader = os.getppid()

    def begin(msg: Message, **_: object) -> None:
        _make_load(environment, runner, part=msg.data["part"])
        gevent.sleep(0)  # the users take their places
        _load().begin(at=msg.data["at"])

    def end(msg: Message, **_: object) -> None:
        for generator in _running:
            generator.plan_until(msg.data["last"])
        gevent.spawn_later(max(0.0, to_seconds(msg.data["last"] - now_us())), finish, msg.data["ended"])

    def finish(ended: str) -> None:
        if _running:
            _load().finish(ended, grace=PLAN.longest_timeout + 1)
        runner.send_message(_ENDED, {"ended": ended})

    def watch() -> None:
        while os.getppid() == leader:
            if _running and (failure := _load().failure) is not None:
                print(failure, file=sys.stderr, flush=True)
                finish("error")
                return
            gevent.sleep(0.5)
        for generator in _running:
            generator.finish("orphaned", grace=PLAN.longest_timeout + 1)
        os._exit(1)

    runner.register_message(_BEGIN, begin)
    runner.register_message(_END, end)
    gevent.spawn(watch)


@events.quitting.add_listener  # type: ignore[untyped-decorator]
def close_books(**_: object) -> None:
    """Write records and summary of a run that a signal ended."""
    for generator in _running:
        generator.finish(_ENDED_BY_SIGNAL, grace=0)


_foreign = 0


@events.request.add_listener  # type: ignore[untyped-decorator]
def record_foreign(
    request_type: str,
    name: str,
    response_time: float | None,
    response_length: int | None,
    exception: BaseException | str | None = None,
    context: dict[str, object] | None = None,
    response: object = None,
    **_: object,
) -> None:
    """A request of the user's own classes enters the same records, marked as not strict.

    Locust reports only its duration: the planned instant is its start. What it resent by itself is unknown.
    """
    if context is _OWN or not _running:
        return
    global _foreign
    _foreign += 1
    done = now_us()
    started = done - to_microseconds((response_time or 0) / 1000)
    headers = getattr(response, "headers", None) or {}
    status = getattr(response, "status_code", 0) or 0
    row = Row(
        id=f"{PLAN.run}-foreign-{_foreign}" if PLAN.processes == 1 else f"{PLAN.run}-foreign-{_load().part}-{_foreign}",
        connection=0,
        reused=False,
        method=request_type,
        name=name,
        planned=started,
        started=started,
        connected=None,
        sent=started,
        first_byte=None,
        done=done,
        status=status or None,
        bytes=response_length or 0,
        slot=str(headers.get(PLAN.slot_header) or ""),
        version=str(headers.get(PLAN.version_header) or ""),
        served_slot=str(headers.get(PLAN.served_slot_header) or ""),
        outcome=_foreign_outcome(exception, status),
        detail="" if exception is None else f"{type(exception).__name__}: {exception}"[:300],
        strict=False,
    )
    _load().add_foreign_request(format_row(row))


def _foreign_outcome(exception: BaseException | str | None, status: int) -> Outcome:
    if exception is None:
        return Outcome.ANSWERED
    if status in (502, 503, 504):
        return Outcome.LOST
    if status:
        return Outcome.ERROR
    return Outcome.UNREACHED if "refused" in str(exception).lower() else Outcome.LOST
