"""`cakravia prune`: remove old reports, versions and logs, after saying which."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from cakravia_verify.errors import UsageError

if TYPE_CHECKING:
    from cakravia_verify.site.site import Site


@click.command()
@click.option("--days", default=90.0, show_default=True, type=click.FloatRange(min=0), help="Oldest age of a report.")
@click.option("--size", default="", metavar="SIZE", help="Most that all reports may take, as in 500M.")
@click.option("--dry-run", is_flag=True, help="Say what would go, and remove nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def prune(open_site: Callable[[], Site], days: float, size: str, dry_run: bool, yes: bool) -> None:
    """Remove old reports, versions and logs.

    \b
      cakravia prune --dry-run
      cakravia prune --days 30 --size 500M --yes
    It says first what would go. The newest report, the report of the active version, and every version that a slot
    runs or a rollback goes to stay. The history is never shortened.
    """
    from cakravia_verify.setup.pruning import PruneRules, removable, remove

    site = open_site()
    rules = PruneRules(days=days, size=_bytes_of(size))
    found = removable(site, rules)
    for each in found:
        click.echo(f"  {each.what:<48} {each.size / 2**20:>8.1f} MB  {each.why}")
    if not found:
        click.echo("nothing to remove")
        return
    click.echo(f"{len(found)} things, {sum(each.size for each in found) / 2**20:,.1f} MB")
    if dry_run:
        return
    if not yes and not (sys.stdin.isatty() and click.confirm("Remove them?")):
        raise UsageError("nothing was removed", remedy="type: cakravia prune --yes")
    lease = site.lock.acquire("cakravia prune")
    try:
        site.journal.token = lease.token
        for line in remove(site, removable(site, rules)):
            click.echo(line)
    finally:
        site.lock.release()


def _bytes_of(text: str) -> int:
    from cakravia_verify.settings.section import size_in_bytes

    if text and not re.fullmatch(r"[0-9]{1,15}[KMG]?", text):
        raise UsageError(f"--size {text!r} is no size", remedy="write it as 500M or 2G")
    return size_in_bytes(text) if text else 0
