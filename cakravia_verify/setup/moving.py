"""Move users between the old set-up and this site, while strict traffic at the users' address counts what is lost."""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cakravia_verify.errors import CakraviaError, UsageError
from cakravia_verify.settings.section import address_of
from cakravia_verify.setup.migration import (
    MOVED,
    UNDONE,
    Migration,
    OldSetUp,
    reload_old_nginx,
    write_old_files,
)
from cakravia_verify.site.site import SERVED_SLOT_HEADER, Site
from cakravia_verify.slots import Address
from cakravia_verify.system.clock import Deadline, poll
from cakravia_verify.traffic.plan.from_settings import headers_of, plan_of
from cakravia_verify.traffic.run import TrafficRun

ANSWERS: Final = 10
BEFORE_SECONDS: Final = 1.0
CONFIRM_SECONDS: Final = 15.0
START_SECONDS: Final = 30.0
FIRST_REQUESTS: Final = 20
Told = Callable[[str], None]


@dataclass(frozen=True)
class MoveCount:
    """What strict traffic saw. `failed` counts error answers, and connections that were refused."""

    requests: int
    lost: int
    failed: int

    def __str__(self) -> str:
        return f"{self.lost} of {self.requests:,} requests lost, {self.failed} failed"


def prove(site: Site, *, seconds: float) -> MoveCount:
    """Send strict traffic through this site's own proxy. Raises CakraviaError if any request is lost or fails."""
    with _traffic(site, site.proxy.address) as run:
        site.clock.sleep(seconds)
        count = _counted(run)
    if count.lost or count.failed:
        raise CakraviaError(
            f"the site is not ready for users: {count}",
            remedy="see what is wrong with: cakravia load --duration 30; no user was moved",
        )
    return count


def move(site: Site, set_up: OldSetUp, *, seconds: float, told: Told) -> MoveCount:
    """Let the old nginx pass on to this site. If users then do not reach it, everything is put back.

    Raises CakraviaError. `told` gets a line for each thing done.
    """
    migration = Migration(site.settings)
    migration.begin(set_up)
    with _traffic(site, address_of(set_up.users)) as run:
        site.clock.sleep(min(BEFORE_SECONDS, seconds))
        try:
            write_old_files(set_up, back=False)
            reload_old_nginx(set_up, told=told)
            _confirm(site, set_up, moved=True)
        except BaseException:
            write_old_files(set_up, back=True)
            migration.mark(UNDONE)
            reload_old_nginx(set_up, told=told)
            raise
        site.clock.sleep(seconds)
        count = _counted(run)
    migration.mark(MOVED)
    site.journal.append("migration.moved", requests=count.requests, lost=count.lost, users=set_up.users)
    return count


def move_back(site: Site, *, seconds: float, told: Told) -> MoveCount:
    """Let the old nginx pass to the old application again. Raises UsageError if nothing listens there any more."""
    migration = Migration(site.settings)
    if migration.state == UNDONE:
        raise UsageError("users were moved back already", remedy="cakravia migrate --conf FILE moves them again")
    set_up = migration.set_up
    for target in set_up.old:
        _require_listener(target)
    with _traffic(site, address_of(set_up.users)) as run:
        site.clock.sleep(min(BEFORE_SECONDS, seconds))
        write_old_files(set_up, back=True)
        reload_old_nginx(set_up, told=told)
        _confirm(site, set_up, moved=False)
        site.clock.sleep(seconds)
        count = _counted(run)
    migration.mark(UNDONE)
    site.journal.append("migration.undone", requests=count.requests, lost=count.lost, users=set_up.users)
    return count


def _confirm(site: Site, set_up: OldSetUp, *, moved: bool) -> None:
    """Wait until answers in a row at the users' address come from this site, or no longer do."""
    path = next(iter(site.settings.contract.endpoints.values()))
    in_a_row = 0
    seen = ""

    def confirmed() -> bool:
        nonlocal in_a_row, seen
        answer = site.prober.request(address_of(set_up.users), "GET", path)
        seen = answer.problem or f"status {answer.status_code}"
        is_ours = SERVED_SLOT_HEADER in answer.headers
        is_answered = answer.status_code is not None and answer.status_code not in (502, 503, 504)
        in_a_row = in_a_row + 1 if is_answered and is_ours is moved else 0
        return in_a_row >= ANSWERS

    where = "this site answers" if moved else "the old set-up answers"
    poll(
        confirmed,
        deadline=Deadline(f"{where} at {set_up.users}", CONFIRM_SECONDS, clock=site.clock),
        every=0.05,
        observed=lambda: f"the last answer: {seen}",
    )


def _require_listener(target: str) -> None:
    """Raise UsageError if this machine knows the host and nothing listens. A name of another network is not checked."""
    host, _, port = target.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=2.0):
            return
    except socket.gaierror:
        return
    except (OSError, ValueError) as error:
        raise UsageError(
            f"the old application does not answer at {target}: {error}",
            remedy="start it again, then type: cakravia migrate undo; users stay on this site",
        ) from error


@contextmanager
def _traffic(site: Site, address: Address) -> Iterator[TrafficRun]:
    """Run the traffic of the settings at an address. Its records are removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="cakravia-migrate-"))
    settings = site.settings
    plan = plan_of(
        settings.traffic,
        address=address,
        folder=folder,
        run="migrate",
        headers=headers_of(settings),
        root=settings.root,
        site=settings.site,
    )
    run = TrafficRun(plan, clock=site.clock)
    try:
        run.start(deadline=Deadline("the traffic flows", START_SECONDS, clock=site.clock), requests=FIRST_REQUESTS)
        yield run
    finally:
        run.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _counted(run: TrafficRun) -> MoveCount:
    """Return what the traffic saw of every request planned so far. Raises DeadlineExceeded if one does not end."""
    run.settle(deadline=Deadline("the requests end", run.plan.timeout + 5))
    return MoveCount(run.finished, len(run.lost), len(run.errors) + len(run.unreached))
