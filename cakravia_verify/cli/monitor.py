"""`cakravia monitor`: the service that watches the site, and what it saw."""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cakravia_verify.cli.monitor_alerts import JSON, alerts, place_of_site
from cakravia_verify.command_options import with_options

if TYPE_CHECKING:
    from cakravia_verify.site.site import Site

NOT_RUNNING, OPEN_ALERTS = 1, 2
_HOURS = click.option(
    "--hours", default=24.0, show_default=True, type=click.FloatRange(0.1, 24 * 732), help="How far back."
)


@click.group()
def monitor() -> None:
    """Watch the site: probes, alerts, history.

    \b
      cakravia monitor run
      cakravia monitor status
      cakravia monitor alerts
    Start with `cakravia monitor run`, or let `cakravia monitor install` set up a service.
    """


@monitor.command()
@click.option("--log", "log_file", type=click.Path(path_type=Path), help="Write the log to this file.")
@click.pass_obj
def run(open_site: Callable[[], Site], log_file: Path | None) -> None:
    """Watch the site in the foreground until a signal ends it.

    \b
      cakravia monitor run
      cakravia monitor run --log monitor.log
    """
    from cakravia_verify.system.memory import left_out_of_imports

    # httpx takes its command, trio and HTTP/2 along if they are installed: 10 MiB that the monitor does not use.
    with left_out_of_imports("pygments", "trio", "h2"):
        import httpcore  # noqa: F401
        import httpx  # noqa: F401

    from cakravia_verify.monitor.log import open_log
    from cakravia_verify.monitor.service import Monitor, run_until_signal

    settings = open_site().settings
    run_until_signal(Monitor(settings, log=open_log(log_file), log_file=log_file and log_file.absolute()))


@monitor.command()
@click.option("--user", "scope", flag_value="user", help="A service of your own, without root.")
@click.option(
    "--system", "scope", flag_value="system", default="system", help="A service of the machine (the default)."
)
@click.option("--name", default="cakravia-monitor", show_default=True, help="The service's name.")
@click.option("--into", default="/", type=click.Path(path_type=Path), help="Only write the files, below this folder.")
@click.pass_context
def install(context: click.Context, scope: str, name: str, into: Path) -> None:
    """Set up a systemd service with log rotation, and start it.

    \b
      sudo cakravia monitor install
      cakravia monitor install --user
    """
    from cakravia_verify.monitor import installation
    from cakravia_verify.system.service_units import Scope

    settings = context.obj().settings
    site_file = Path(context.find_root().params["site_file"]).resolve()
    place = installation.installation_of(settings, Scope(scope), name=name, into=into.absolute())
    for line in installation.install(settings, site_file, place, into=into.absolute()):
        click.echo(line)
    click.echo(f"look at it with: {' '.join(place.systemctl)} status {name}")


@monitor.command()
@click.option("--into", default="/", type=click.Path(path_type=Path), help="The folder given to install.")
@click.pass_obj
def uninstall(open_site: Callable[[], Site], into: Path) -> None:
    """Stop the service and remove its files. Samples, alerts and logs stay.

    \b
      cakravia monitor uninstall
    """
    from cakravia_verify.errors import UsageError
    from cakravia_verify.monitor import installation

    settings = open_site().settings
    if (found := installation.installed(settings)) is None:
        raise UsageError("no service is installed for this site", remedy="install one: cakravia monitor install")
    place = installation.installation_of(settings, found[0], name=found[1], into=into.absolute())
    for line in installation.uninstall(settings, place, into=into.absolute()):
        click.echo(line)


@monitor.command()
@JSON
@click.pass_obj
def status(open_site: Callable[[], Site], as_json: bool) -> None:
    """What the monitor sees now. Exit status: 0 all is well, 1 it does not run, 2 an alert is open.

    \b
      cakravia monitor status
      cakravia monitor status --json
    """
    from cakravia_verify.monitor.service import is_fresh
    from cakravia_verify.monitor.state import read_state
    from cakravia_verify.monitor.text import status_lines

    place = place_of_site(open_site)
    state = read_state(place.state_file)
    is_running = place.is_running() and is_fresh(state)
    if as_json:
        click.echo(json.dumps({"is_running": is_running} | state, indent=2))
    else:
        for line in status_lines(state, is_running=is_running):
            click.echo(line)
    if not is_running:
        sys.exit(NOT_RUNNING)
    if any(alert["is_open"] for alert in state.get("alerts", ())):
        sys.exit(OPEN_ALERTS)


@monitor.command()
@_HOURS
@JSON
@click.option("--html", "page", type=click.Path(path_type=Path), help="Write the page of the monitor to this file.")
@click.pass_obj
def report(open_site: Callable[[], Site], hours: float, as_json: bool, page: Path | None) -> None:
    """Availability, latency and alerts of the last hours; or the page as it is now, for reading without the site.

    \b
      cakravia monitor report --hours 24
      cakravia monitor report --html monitor.html
    """
    from cakravia_verify.monitor.report import report_lines, report_of

    now = time.time()
    site = open_site()
    if page is not None:
        _write_page(site, page.absolute(), now=now)
        return
    made = report_of(place_of_site(lambda: site).folder, site.settings.site.name, since=now - hours * 3600, until=now)
    if as_json:
        click.echo(json.dumps(made, indent=2))
        return
    for line in report_lines(made):
        click.echo(line)


def _write_page(site: Site, page: Path, *, now: float) -> None:
    from cakravia_verify.errors import UsageError
    from cakravia_verify.monitor.web.offline import offline_page

    try:
        page.write_text(offline_page(site.settings, folder=page.parent, now=now), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{page} cannot be written: {error.strerror}", remedy="name another file") from error
    click.echo(f"written: {page}")


@monitor.command()
@_HOURS
@click.option("--series", default="probe/users/", show_default=True, help="Series whose names begin with this.")
@JSON
@click.pass_obj
def history(open_site: Callable[[], Site], hours: float, series: str, as_json: bool) -> None:
    """Health over time: one line per series and hour (per minute for up to 2 hours).

    \b
      cakravia monitor history
      cakravia monitor history --json
    """
    from cakravia_verify.monitor.report import history_rows
    from cakravia_verify.monitor.text import history_line

    now = time.time()
    rows = history_rows(place_of_site(open_site).folder, series, since=now - hours * 3600, until=now)
    for row in rows:
        click.echo(json.dumps(row) if as_json else history_line(row))
    if not rows and not as_json:
        click.echo("nothing was recorded in that time")


@monitor.command()
@click.option("--lines", default=50, show_default=True, type=click.IntRange(min=1), help="How many lines.")
@JSON
@click.pass_obj
def logs(open_site: Callable[[], Site], lines: int, as_json: bool) -> None:
    """The last lines of the monitor's log.

    \b
      cakravia monitor logs
    """
    from cakravia_verify.monitor.state import read_state
    from cakravia_verify.monitor.text import clean

    place = place_of_site(open_site)
    named = read_state(place.state_file).get("log") or read_state(place.service_file).get("log")
    path = Path(named) if named else place.log
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            found = list(deque(file, maxlen=lines))
    except OSError as error:
        from cakravia_verify.errors import UsageError

        raise UsageError(
            f"the log {path} cannot be read: {error.strerror}",
            remedy="run the monitor with --log FILE or as a service; in the foreground it writes to the terminal",
        ) from error
    for line in found:
        instant, _, text = line.rstrip("\n").partition(" ")
        click.echo(json.dumps({"at": instant, "text": text}) if as_json else clean(line.rstrip("\n")))


@monitor.command()
@click.pass_obj
def password(open_site: Callable[[], Site]) -> None:
    """Make a password for the page at /monitor.html. Only its hash is kept, in cakravia.toml.

    \b
      cakravia monitor password
    """
    from cakravia_verify.monitor.web.access import new_password
    from cakravia_verify.proxy.monitor_pages import USER

    made = new_password()
    _tell_secret(f"user {USER}, password {made.text}", "password", made.hashed)
    click.echo(with_options("then: cakravia recover"))
    click.echo(f"the page: {open_site().proxy.address.url}/monitor.html")


@monitor.command()
def token() -> None:
    """Make a token for acknowledging and silencing on the page. Only its hash is kept, in cakravia.toml.

    \b
      cakravia monitor token
    """
    from cakravia_verify.monitor.web.access import new_token

    made = new_token()
    _tell_secret(f"token {made.text}", "actions", made.hashed)
    click.echo(with_options("then start the monitor again, and: cakravia recover"))


@monitor.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def prometheus(folder: Path) -> None:
    """Write rules, scrape configuration and Grafana dashboard into FOLDER.

    \b
      cakravia monitor prometheus prometheus/
    """
    from importlib.resources import as_file, files
    from shutil import copyfile

    folder.mkdir(parents=True, exist_ok=True)
    for each in sorted(files("cakravia_verify.monitor").joinpath("prometheus").iterdir(), key=lambda file: file.name):
        with as_file(each) as source:
            copyfile(source, folder / each.name)
        click.echo(f"written: {folder / each.name}")


def _tell_secret(secret: str, key: str, hashed: str) -> None:
    click.echo(f"{secret}: note it now, it is not shown again")
    click.echo("put this into cakravia.toml:")
    click.echo(f'[monitor]\n{key} = "{hashed}"')


monitor.add_command(alerts)
