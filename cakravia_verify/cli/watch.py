"""`cakravia watch`: a release that runs in another terminal or in a pipeline, live."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import click

from cakravia_verify.cli.watch_views import watch_view
from cakravia_verify.foreign_text import harmless
from cakravia_verify.gate.model import Exit

if TYPE_CHECKING:
    from cakravia_verify.history.releases import Record
    from cakravia_verify.site.site import Site

# The status of a watch without a release, as pytest's for a run without tests.
NOTHING_RUNS: Final = 5
EVERY: Final = 0.25
# The verdict is written after the last entry of the journal.
_VERDICT_SECONDS: Final = 30.0


@click.command()
@click.option("--wait", default=0.0, metavar="SECONDS", help="Wait this long for a release to begin.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per entry of the journal.")
@click.pass_obj
def watch(open_site: Callable[[], Site], wait: float, as_json: bool) -> None:
    """Show a release that runs in another terminal, live.

    \b
      cakravia watch
      cakravia watch --wait 60
      cakravia watch --json
    The release is not disturbed: the watch reads its files and takes no lock. Ctrl-C ends the watch alone.

    \b
    Exit status: that of the release; 5 if no release runs.
    """
    from cakravia_verify.system.clock import SYSTEM_CLOCK, Deadline

    site = open_site()
    deadline = Deadline("a release begins", wait, clock=SYSTEM_CLOCK)
    while (record := running_release(site)) is None and not deadline.is_over:
        SYSTEM_CLOCK.sleep(EVERY)
    if record is None:
        _say_that_nothing_runs(site, as_json=as_json)
        sys.exit(NOTHING_RUNS)
    try:
        sys.exit(_follow(site, record, as_json=as_json))
    except KeyboardInterrupt:
        click.echo("the watch ended; the release goes on", err=True)
        sys.exit(130)


def running_release(site: Site) -> Record | None:
    """Return the release that a process runs now, None if none does. A killed release does not run."""
    from cakravia_verify.history.releases import newest_records

    newest = next(iter(newest_records(site.journal.entries(), 1)), None)
    return newest if newest is not None and _runs(site, newest) else None


def _runs(site: Site, record: Record) -> bool:
    """Return whether the release goes on. On another machine only the lease can tell."""
    import socket

    from cakravia_verify.history.running_release import runs_still

    if record.is_finished:
        return False
    if record.host == socket.gethostname():
        return runs_still(record)
    return site.lock.holder() is not None


def _say_that_nothing_runs(site: Site, *, as_json: bool) -> None:
    from cakravia_verify.history.releases import newest_records

    newest = next(iter(newest_records(site.journal.entries(), 1)), None)
    holder = site.lock.holder()
    if as_json:
        click.echo(json.dumps({"running": None, "last": newest.intent.release if newest else None}))
        return
    click.echo("no release runs")
    if holder:
        click.echo(f"  the site is held by {harmless(str(holder))}")
    if lag := site.lock.lag():
        click.echo(f"  {lag}")
    if newest is None:
        return
    ended = newest.outcome or "did not end; type: cakravia recover"
    click.echo(f"  the last one: {newest.intent.kind} {harmless(newest.intent.version)}, {newest.at[:19]}: {ended}")


def _follow(site: Site, record: Record, *, as_json: bool) -> int:
    """Show the release until it ends. Returns its exit status."""
    from cakravia_verify.history.journal import Journal
    from cakravia_verify.report.live.follower import ReleaseFollower
    from cakravia_verify.system.clock import SYSTEM_CLOCK

    release = record.intent.release
    follower = ReleaseFollower(Journal(site.settings.history), reports=site.settings.reports, release=release)
    view = watch_view(as_json=as_json)
    try:
        while True:
            # In this order: what the release writes last is read after its process has ended.
            is_running = _runs(site, record)
            view.add(follower.new_entries())
            live = follower.now()
            view.draw(live)
            if live is not None and live.progress.is_finished:
                break
            if not is_running:
                view.close()
                click.echo(f"{release}: its process has ended and left it unfinished; type: cakravia recover", err=True)
                return Exit.INCONCLUSIVE
            SYSTEM_CLOCK.sleep(EVERY)
    finally:
        view.close()
    status = _status_of(site, release, record)
    if not as_json:
        progress = live.progress
        why = "" if progress.outcome == "promoted" else f": {progress.why}"
        click.echo(harmless(f"{progress.outcome}{why}; exit status {int(status)}"))
        click.echo(f"Report: {site.settings.reports / release / 'report.html'}")
    return status


def _status_of(site: Site, release: str, record: Record) -> int:
    """Return the exit status that the verdict of the release names, once it is written."""
    from cakravia_verify.history.releases import PROMOTED, STUCK, UNPROVEN, newest_records
    from cakravia_verify.history.running_release import runs_still
    from cakravia_verify.report.verdict.model import FILE_NAME
    from cakravia_verify.system.clock import SYSTEM_CLOCK, Deadline

    file, deadline = site.settings.reports / release / FILE_NAME, Deadline("the verdict", _VERDICT_SECONDS)
    while not file.is_file() and runs_still(record) and not deadline.is_over:
        SYSTEM_CLOCK.sleep(EVERY)
    try:
        status = json.loads(file.read_text(encoding="utf-8"))["exit_status"]
    except (OSError, ValueError, KeyError, TypeError):
        ended = next(iter(newest_records(site.journal.entries(), 1)))
        known = {PROMOTED: Exit.PROMOTED, UNPROVEN: Exit.UNPROVEN, STUCK: Exit.NEEDS_A_PERSON}
        other = Exit.ROLLED_BACK if ended.decision == "ROLL BACK" else Exit.INCONCLUSIVE
        return known.get(ended.outcome, other)
    return int(status)
