"""The commands that send users away or let them wait, without a reload and without touching a slot."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from cakravia_verify.cli.site import locked
from cakravia_verify.errors import CakraviaError, UsageError
from cakravia_verify.proxy.nginx.hold import LONGEST_HOLD
from cakravia_verify.proxy.protocol import ADMISSION_SECONDS, Admission
from cakravia_verify.site.maintenance import begin_maintenance, end_maintenance
from cakravia_verify.system.users import who_acts

if TYPE_CHECKING:
    from cakravia_verify.site.site import Site


@click.command()
@click.argument("state", type=click.Choice(["on", "off"]))
@click.pass_obj
def maintenance(open_site: Callable[[], Site], state: str) -> None:
    """Send users away with 503, or let them in again.

    \b
      cakravia maintenance on
      cakravia maintenance off
    Requests in flight end as usual. [proxy.maintenance] names the addresses and the cookie that still get in.
    """
    site = open_site()
    _require_proxy(site)
    if state == "off":
        site.proxy.set_admission(Admission.OPEN)
        _record(lambda: end_maintenance(site.settings.state, now=site.clock.wall()))
        click.echo("maintenance is off: users reach the application")
        return
    # Before the users notice: a running monitor then pages for no plan of yours.
    _record(lambda: begin_maintenance(site.settings.state, now=site.clock.wall(), who=who_acts()))
    try:
        _stop_users(site, Admission.MAINTENANCE)
    except CakraviaError:
        _record(lambda: end_maintenance(site.settings.state, now=site.clock.wall()))
        raise
    click.echo("maintenance is on: users get 503; end it with cakravia maintenance off")


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("seconds", type=click.IntRange(1, LONGEST_HOLD))
@click.argument("command", nargs=-1)
@click.pass_obj
def hold(open_site: Callable[[], Site], seconds: int, command: tuple[str, ...]) -> None:
    """Let requests wait while COMMAND runs, for at most SECONDS.

    If the command takes longer, all requests get 503 until it has ended. Without a command requests wait until SECONDS
    are over, or until Ctrl-C.

    \b
      cakravia hold 30 ./migrate.sh
      cakravia hold 10
    The exit status is that of the command.
    """
    with locked(open_site(), "hold") as site:
        _require_proxy(site)
        if site.proxy.observe().admission is not Admission.OPEN:
            raise UsageError("users are stopped already", remedy="cakravia maintenance off")
        handler = signal.signal(signal.SIGTERM, _interrupt)
        try:
            _stop_users(site, Admission.HOLD)
            click.echo(f"requests wait, for at most {seconds} s")
            status = _run(site, command, seconds=seconds) if command else _wait(seconds)
        finally:
            site.proxy.set_admission(Admission.OPEN)
            signal.signal(signal.SIGTERM, handler)
    click.echo("users reach the application")
    sys.exit(status)


def _record(write: Callable[[], None]) -> None:
    """Write the record of the maintenance. A full disk keeps no user out and none in."""
    try:
        write()
    except OSError as error:
        click.echo(f"note: the monitor does not know of it: {error.strerror or error}", err=True)


def _run(site: Site, command: tuple[str, ...], *, seconds: int) -> int:
    """Run the command to its end, and return its status. Users are sent away when the seconds are over."""
    try:
        process = subprocess.Popen(command)
    except OSError as error:
        raise UsageError(f"{command[0]} cannot be run: {error.strerror}", remedy="correct the command") from error
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        site.proxy.set_admission(Admission.MAINTENANCE)
        click.echo(f"{seconds} s are over: users get 503 until {command[0]} has ended")
        return process.wait()
    finally:
        process.terminate()
        process.wait()


def _wait(seconds: int) -> int:
    with suppress(KeyboardInterrupt):
        signal.sigtimedwait((), seconds)
    return 0


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _stop_users(site: Site, admission: Admission) -> None:
    """Change the admission, and wait until each worker knows it."""
    site.proxy.set_admission(admission)
    site.clock.sleep(ADMISSION_SECONDS)


def _require_proxy(site: Site) -> None:
    if not site.proxy.observe().is_running:
        raise UsageError("the proxy is not running", remedy="start it: cakravia up")
