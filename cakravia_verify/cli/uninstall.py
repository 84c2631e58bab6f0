"""`cakravia uninstall`: list and remove everything of ours in a project."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from cakravia_verify.errors import UsageError

if TYPE_CHECKING:
    from cakravia_verify.site.site import Site


@click.command()
@click.option("--stop", is_flag=True, help="Stop the site first: users are no longer served.")
@click.option("--with-data", is_flag=True, help="Remove the data that the application keeps in DATA_DIR too.")
@click.option("--dry-run", is_flag=True, help="List what would go, and remove nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def uninstall(open_site: Callable[[], Site], stop: bool, with_data: bool, dry_run: bool, yes: bool) -> None:
    """Remove everything of ours from the project.

    \b
      cakravia uninstall --dry-run
      cakravia uninstall                 users stay served by the version that serves them
      cakravia uninstall --stop          the site ends, and everything goes
    Checks of your own and the application's data stay.
    """
    from cakravia_verify.recovery.lifecycle import bring_down
    from cakravia_verify.setup.removal import parts_of, refuse_while_users_come_through, remove_parts

    site = open_site()
    refuse_while_users_come_through(site.settings)
    serves = not site.observe().is_empty and not stop
    parts = parts_of(site.settings, serves=serves, with_data=with_data)
    for part in parts:
        click.echo(f"  {'stays ' if part.why else 'goes  '} {part.path}{f'  ({part.why})' if part.why else ''}")
    if serves:
        click.echo("users stay served; cakravia uninstall --stop ends the site and removes the rest")
    if dry_run:
        return
    if not yes and not (sys.stdin.isatty() and click.confirm("Remove them?")):
        raise UsageError("nothing was removed", remedy="type: cakravia uninstall --yes")
    lease = site.lock.acquire("cakravia uninstall")
    try:
        if stop:
            site.journal.token = lease.token
            click.echo(bring_down(site))
    finally:
        site.lock.release()
    if stop and site.settings.site.platform == "docker":
        from cakravia_verify.platforms.docker.removal import remove_from_engine

        for line in remove_from_engine(site.settings, with_data=with_data):
            click.echo(line)
    for line in remove_parts(site.settings, parts_of(site.settings, serves=serves, with_data=with_data)):
        click.echo(line)
