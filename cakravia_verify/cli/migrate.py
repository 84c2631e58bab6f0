"""`cakravia migrate`: move users from the nginx that runs today to this site, and back."""

from __future__ import annotations

import difflib
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cakravia_verify.errors import UsageError

if TYPE_CHECKING:
    from cakravia_verify.setup.migration import OldSetUp
    from cakravia_verify.site.site import Site

_SECONDS = click.option(
    "--seconds", default=3.0, show_default=True, type=click.FloatRange(0.5, 600), help="Of traffic before and after."
)


@click.group(invoke_without_command=True)
@click.option("--conf", "files", multiple=True, type=click.Path(path_type=Path), help="A file of the old nginx.")
@click.option("--users", default="127.0.0.1:80", show_default=True, metavar="HOST:PORT", help="Where users come in.")
@click.option("--nginx", default="nginx", show_default=True, help='Its program, as in "docker exec shop-nginx nginx".')
@click.option("--to", default="", metavar="HOST:PORT", help="This site, as the old nginx reaches it. [proxy] listen")
@click.option("--from", "old", multiple=True, metavar="HOST:PORT", help="The application, if the files have several.")
@_SECONDS
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_context
def migrate(context: click.Context, /, seconds: float, dry_run: bool, yes: bool, **options: Any) -> None:
    """Move users from the nginx that runs today to this site.

    \b
      cakravia migrate --conf /etc/nginx/sites-enabled/shop --dry-run
      cakravia migrate --conf /etc/nginx/sites-enabled/shop
      cakravia migrate --conf nginx/upstream.conf --nginx "docker exec shop-nginx nginx" --to nginx:8080
      cakravia migrate undo
    The old nginx keeps its address and passes requests on to this site. Its files are kept first. Strict traffic runs
    through the move, and every lost request is counted.
    """
    if context.invoked_subcommand:
        return
    from cakravia_verify.setup.migration import read_set_up
    from cakravia_verify.setup.moving import move, prove

    site: Site = context.obj()
    if not options["files"]:
        raise UsageError("which file has the old upstream?", remedy="name it: cakravia migrate --conf FILE")
    set_up = read_set_up(
        options["files"],
        nginx=shlex.split(options["nginx"]),
        users=_address(options["users"]),
        to=_address(options["to"] or str(site.proxy.address)),
        old=tuple(map(_address, options["old"])),
    )
    _require_served(site)
    for line in _differences(set_up):
        click.echo(line)
    if dry_run:
        return
    _ask("Move the users?", yes=yes)
    with _locked(site, "migrate"):
        click.echo(f"through this site: {prove(site, seconds=seconds)}")
        count = move(site, set_up, seconds=seconds, told=lambda line: click.echo(f"  {line}"))
    click.echo(f"users are on this site: {count}")
    click.echo("the old application still runs; cakravia migrate undo brings users back to it")


@migrate.command()
@_SECONDS
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def undo(open_site: Callable[[], Site], seconds: float, yes: bool) -> None:
    """Move users back to the set-up before.

    \b
      cakravia migrate undo
    """
    from cakravia_verify.setup.moving import move_back

    site = open_site()
    _ask("Move the users back?", yes=yes)
    with _locked(site, "migrate undo"):
        count = move_back(site, seconds=seconds, told=lambda line: click.echo(f"  {line}"))
    click.echo(f"users are on the old set-up: {count}")


@migrate.command()
@click.pass_obj
def status(open_site: Callable[[], Site]) -> None:
    """Say where users come in.

    \b
      cakravia migrate status
    """
    from cakravia_verify.setup.migration import Migration

    migration = Migration(open_site().settings)
    state = migration.state
    if not state:
        click.echo("nothing was migrated here")
        return
    set_up = migration.set_up
    click.echo(f"{state}: {set_up.users} -> {set_up.to if state != 'undone' else ', '.join(set_up.old)}")
    for file in set_up.files:
        click.echo(f"  {file.path}")


def _address(text: str) -> str:
    host, _, port = text.removeprefix("http://").rstrip("/").rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65_536:
        raise UsageError(f"{text!r} is no address", remedy="write it as HOST:PORT, as in 127.0.0.1:80")
    return f"{host}:{port}"


def _require_served(site: Site) -> None:
    state = site.observe()
    if state.active is None or state.served is None:
        raise UsageError(
            "this site serves no version yet, so users cannot be moved to it",
            remedy="release one first: cakravia deploy v1.0.0",
        )


def _differences(set_up: OldSetUp) -> Iterator[str]:
    for file in set_up.files:
        before, after = file.before.splitlines(), file.after.splitlines()
        yield from difflib.unified_diff(before, after, str(file.path), f"{file.path} (moved)", lineterm="", n=1)


def _ask(question: str, *, yes: bool) -> None:
    if not yes and not (sys.stdin.isatty() and click.confirm(question)):
        raise UsageError("nothing was changed", remedy="add --yes to the command")


@contextmanager
def _locked(site: Site, purpose: str) -> Iterator[None]:
    lease = site.lock.acquire(f"cakravia {purpose}")
    try:
        site.journal.token = lease.token
        yield
    finally:
        site.lock.release()
