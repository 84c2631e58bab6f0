"""What `locust -f` runs, in a child process: our strict users, and the user's own classes beside them.

The plan comes through the environment variable CAKRAVIA_TRAFFIC_PLAN. A line on standard input, or its end, ends the
run: `stop` is asked for; an end without it means that whoever started this is gone.
"""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

# Locust puts this folder in front of the module path while it reads this file, and removes the first entry afterwards;
# `statistics` and `records` here must not stand for modules of those names elsewhere.
_HERE = Path(__file__).resolve().parent
if sys.path and Path(sys.path[0]).resolve() == _HERE:
    sys.path[0] = str(_HERE.parent.parent)

import gevent  # noqa: E402
from gevent.os import make_nonblocking, nb_read  # noqa: E402
from locust import User, events, task  # noqa: E402
from locust.exception import StopUser  # noqa: E402

from cakravia_verify.errors import CakraviaError  # noqa: E402
from cakravia_verify.traffic.alarm import now_us  # noqa: E402
from cakravia_verify.traffic.generator import Generator  # noqa: E402
from cakravia_verify.traffic.plan import MixEntry, TrafficPlan  # noqa: E402
from cakravia_verify.traffic.process import PLAN_VARIABLE, STOP_WORD  # noqa: E402
from cakravia_verify.traffic.records import ANSWERED, ERROR, LOST, UNREACHED, Row, format_row  # noqa: E402

PLAN = TrafficPlan.from_json(Path(os.environ[PLAN_VARIABLE]).read_text())
_OWN: dict[str, object] = {"cakravia": "strict"}
_ENDED_BY_SIGNAL = "error"


class StrictUser(User):
    """One connection of the pool; takes the next arrival whenever it is idle."""

    fixed_count = PLAN.users
    weight = 1

    @task
    def arrivals(self) -> None:
        _load().serve()
        raise StopUser


_running: list[Generator] = []


def _load() -> Generator:
    return _running[0]


@events.init.add_listener  # type: ignore[untyped-decorator]
def prepare(environment: object, runner: object, **_: object) -> None:
    """The generator exists before the first user does."""
    request = environment.events.request  # type: ignore[attr-defined]

    def tell_locust(entry: MixEntry, latency: int, size: int, failure: str) -> None:
        request.fire(
            request_type=entry.method,
            name=entry.name,
            response_time=latency / 1000,
            response_length=size,
            exception=failure or None,
            context=_OWN,
        )

    def add_user() -> None:
        gevent.spawn(runner.spawn_users, {StrictUser.__name__: 1})  # type: ignore[attr-defined]

    try:
        _running.append(Generator(PLAN, on_answer=tell_locust, more_users=add_user))
    except CakraviaError as error:
        print(error, file=sys.stderr, flush=True)
        os._exit(1)
    gevent.spawn(_wait_for_the_end, environment, runner)
    # What Locust has loaded stays until the end; looking through it for garbage again and again stalls the schedule.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)


@events.spawning_complete.add_listener  # type: ignore[untyped-decorator]
def start(**_: object) -> None:
    _load().begin()


def _wait_for_the_end(environment: object, runner: object) -> None:
    generator = _load()
    ended = "orphaned"
    make_nonblocking(0)
    said = b""
    while generator.failure is None:
        chunk = None
        with gevent.Timeout(0.5, False):
            chunk = nb_read(0, 1024)
        if chunk is None:
            continue
        said += chunk
        if not chunk or b"\n" in said:
            ended = "asked" if STOP_WORD.encode() in said else "orphaned"
            break
    if generator.failure is not None:
        ended = "error"
        print(generator.failure, file=sys.stderr, flush=True)
    environment.process_exit_code = 1 if ended == "error" else 0  # type: ignore[attr-defined]
    generator.finish(ended, patience=PLAN.longest_timeout + 1)
    runner.quit()  # type: ignore[attr-defined]


@events.quitting.add_listener  # type: ignore[untyped-decorator]
def close_books(**_: object) -> None:
    """A run that a signal ends still leaves its records and a summary."""
    for generator in _running:
        generator.finish(_ENDED_BY_SIGNAL, patience=0)


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

    Locust tells only its duration: the planned instant is its start, and what it resent on its own cannot be seen.
    """
    if context is _OWN or not _running:
        return
    global _foreign
    _foreign += 1
    done = now_us()
    started = done - round((response_time or 0) * 1000)
    headers = getattr(response, "headers", None) or {}
    status = getattr(response, "status_code", 0) or 0
    row = Row(
        id=f"{PLAN.run}-foreign-{_foreign}",
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
    _load().foreign_row(format_row(row))


def _foreign_outcome(exception: BaseException | str | None, status: int) -> str:
    if exception is None:
        return ANSWERED
    if status in (502, 503, 504):
        return LOST
    if status:
        return ERROR
    return UNREACHED if "refused" in str(exception).lower() else LOST
