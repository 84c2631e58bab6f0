"""`cakravia monitor alerts`: open alerts, acknowledged and silenced."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from cakravia_verify.monitor.place import MonitorPlace
    from cakravia_verify.site.site import Site

JSON = click.option("--json", "as_json", is_flag=True, help="For programs.")


@click.group(invoke_without_command=True)
@click.option("--last", default=20, show_default=True, type=click.IntRange(min=1), help="How many past changes.")
@JSON
@click.pass_context
def alerts(context: click.Context, last: int, as_json: bool) -> None:
    """Open alerts, silences, what happened, and messages that wait.

    \b
      cakravia monitor alerts
      cakravia monitor alerts ack site
      cakravia monitor alerts --json
    """
    if context.invoked_subcommand is None:
        _show_alerts(place_of_site(context.obj), last=last, as_json=as_json)


@alerts.command()
@click.argument("name")
@click.pass_obj
def ack(open_site: Callable[[], Site], name: str) -> None:
    """Acknowledge an open alert: it sends no more reminders, and its end is still told.

    \b
      cakravia monitor alerts ack site
    """
    from cakravia_verify.errors import UsageError
    from cakravia_verify.monitor.alerts import book
    from cakravia_verify.system.users import who_acts

    who, now = who_acts(), time.time()
    if not _change(place_of_site(open_site), lambda connection: book.acknowledge(connection, name, who=who, at=now)):
        raise UsageError(f"there is no open alert {name}", remedy="list them with: cakravia monitor alerts")
    click.echo(f"{name} is acknowledged by {who}")


@alerts.command()
@click.argument("pattern")
@click.option("--hours", required=True, type=click.FloatRange(0.01, 24 * 366), help="How long.")
@click.option("--reason", required=True, help="Why; it is shown with the silence.")
@click.pass_obj
def silence(open_site: Callable[[], Site], pattern: str, hours: float, reason: str) -> None:
    """Send no message about alerts whose name fits PATTERN, as in 'idle-slot' or '*'.

    \b
      cakravia monitor alerts silence idle-slot --hours 2 --reason "new disk"
    """
    from cakravia_verify.monitor.alerts import book
    from cakravia_verify.monitor.alerts.message import instant
    from cakravia_verify.system.users import who_acts

    until, who = time.time() + hours * 3600, who_acts()
    number = _change(
        place_of_site(open_site),
        lambda connection: book.add_silence(connection, pattern, until=until, reason=reason, who=who),
    )
    click.echo(f"silence {number}: no message about {pattern} until {instant(until)}")
    click.echo(f"end it with: cakravia monitor alerts unsilence {number}")


@alerts.command()
@click.argument("number", type=int)
@click.pass_obj
def unsilence(open_site: Callable[[], Site], number: int) -> None:
    """End a silence.

    \b
      cakravia monitor alerts unsilence 3
    """
    from cakravia_verify.errors import UsageError
    from cakravia_verify.monitor.alerts import book

    if not _change(place_of_site(open_site), lambda connection: book.end_silence(connection, number)):
        raise UsageError(f"there is no silence {number}", remedy="list them with: cakravia monitor alerts")
    click.echo(f"silence {number} has ended")


@alerts.command("test")
@click.pass_obj
def send_test(open_site: Callable[[], Site]) -> None:
    """Put a test message into the outbox. The running monitor delivers it to every channel.

    \b
      cakravia monitor alerts test
    """
    from cakravia_verify.errors import UsageError
    from cakravia_verify.monitor.notify.assembly import least_urgencies
    from cakravia_verify.monitor.notify.message import Message, Urgency
    from cakravia_verify.monitor.notify.outbox import Outbox

    site = open_site()
    channels, now = least_urgencies(site.settings.notify), time.time()
    if not channels:
        raise UsageError("no channel is set", remedy="add a [[notify.channels]] table to cakravia.toml")
    name = site.settings.site.name
    text = "This is a test. Nothing is wrong."
    message = Message(f"{name}-test-{int(now * 1000)}", name, now, "test", Urgency.PAGE, f"[{name}] test message", text)
    with _book(place_of_site(lambda: site)) as database:
        Outbox(database, channels=channels).put([message])
    click.echo(f"message {message.id} waits for {', '.join(channels)}")


def place_of_site(open_site: Callable[[], Site]) -> MonitorPlace:
    from cakravia_verify.monitor.place import place_of

    return place_of(open_site().settings)


def _book(place: MonitorPlace) -> Any:
    from contextlib import closing

    from cakravia_verify.monitor.alerts.book import open_book

    return closing(open_book(place.folder))


def _change(place: MonitorPlace, action: Callable[[Any], Any]) -> Any:
    with _book(place) as database:
        return database.transact(action)


def _show_alerts(place: MonitorPlace, *, last: int, as_json: bool) -> None:
    from cakravia_verify.monitor.report import alerts_of
    from cakravia_verify.monitor.text import alert_lines, clean

    found = alerts_of(place.folder, now=time.time(), last=last)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for line in alert_lines(found):
        click.echo(clean(line))
