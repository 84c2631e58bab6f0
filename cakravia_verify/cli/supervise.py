"""`cakravia supervise`, `install` and `uninstall`: the site heals itself."""

from __future__ import annotations

import signal
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cakravia_verify.site.site import Site


@click.command()
@click.option(
    "--interval",
    default=1.0,
    show_default=True,
    type=click.FloatRange(min=0.1, max=60),
    help="Seconds between two looks at the site.",
)
@click.pass_obj
def supervise(open_site: Callable[[], Site], interval: float) -> None:
    """Start again what dies while no release runs, until a signal ends it.

    \b
      cakravia supervise
    The first look starts the promoted version, as after a reboot. A site that `cakravia down` stopped stays down.
    """
    from cakravia_verify.monitor.systemd import ServiceNotifier
    from cakravia_verify.recovery.supervisor import Supervisor
    from cakravia_verify.site.lock import Lock

    site, notifier = open_site(), ServiceNotifier()
    alone = Lock(site.settings.state / "supervisor.lock")
    alone.acquire("cakravia supervise")

    def told(line: str) -> None:
        click.echo(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {line}")
        notifier.status(line)

    supervisor = Supervisor(site, told=told, interval=interval)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: supervisor.stop())
    told(f"supervising {site.settings.site.name}")
    notifier.ready()
    try:
        supervisor.run()
    finally:
        notifier.stopping()
        alone.release()
    told("the supervisor ended; the site keeps running")


@click.command()
@click.option("--user", "scope", flag_value="user", help="A service of your own, without root.")
@click.option(
    "--system", "scope", flag_value="system", default="system", help="A service of the machine (the default)."
)
@click.option("--into", default="/", type=click.Path(path_type=Path), help="Only write the unit, below this folder.")
@click.option("--remove", "is_removal", is_flag=True, help="Stop the service and remove it. The site keeps running.")
@click.pass_context
def install(context: click.Context, scope: str, into: Path, is_removal: bool) -> None:
    """Set up a systemd service that supervises the site, also after a reboot.

    \b
      sudo cakravia install
      cakravia install --user
      sudo cakravia install --remove
    """
    from cakravia_verify.recovery import service
    from cakravia_verify.system.service_units import Scope

    settings = context.obj().settings
    if is_removal:
        for line in service.uninstall(settings, Scope(scope), into=into.absolute()):
            click.echo(line)
        return
    site_file = Path(context.find_root().params["site_file"]).resolve()
    for line in service.install(settings, site_file, Scope(scope), into=into.absolute()):
        click.echo(line)
    click.echo(f"look at it with: {' '.join(Scope(scope).systemctl)} status {service.service_name(settings)}")
