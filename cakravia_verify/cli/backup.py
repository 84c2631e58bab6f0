"""`cakravia backup` and `cakravia restore`: archives of settings, history and verdicts."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cakravia_verify.errors import UsageError

if TYPE_CHECKING:
    from cakravia_verify.settings.models import Settings
    from cakravia_verify.setup.backup import Backup
    from cakravia_verify.site.site import Site


@click.command()
@click.option("--to", type=click.Path(path_type=Path), help="Write this file. [default: a new one in the state folder]")
@click.option("--list", "is_listed", is_flag=True, help="List the backups of the site.")
@click.pass_obj
def backup(open_site: Callable[[], Site], to: Path | None, is_listed: bool) -> None:
    """Archive settings, history and verdicts.

    \b
      cakravia backup
      cakravia backup --to /mnt/backups/shop.tar.gz
      cakravia backup --list
    Each release makes one before its first step; [release] backups says how many are kept.
    Keys and secret files are not in it.
    """
    from cakravia_verify.setup.backup import backups_of, make_backup

    site = open_site()
    if is_listed:
        for path in backups_of(site.settings):
            click.echo(f"{path}  {path.stat().st_size / 1024:,.0f} KB")
        return
    click.echo(make_backup(site.settings, reason="cakravia backup", wall=site.clock.wall(), to=to))


@click.command()
@click.argument("archive", type=click.Path(path_type=Path))
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_context
def restore(context: click.Context, archive: Path, yes: bool) -> None:
    """Put a backup back: cakravia restore FILE

    \b
      cakravia restore .cakravia/backups/NAME.tar.gz

    Files that differ are kept as *.before-restore. A history that has entries beyond the backup stays. Versions are
    not in a backup: `cakravia up` starts what is still here, and a release makes the rest.
    """
    from cakravia_verify.setup.backup import read_backup
    from cakravia_verify.setup.restoring import plan_restore
    from cakravia_verify.setup.restoring import restore as write
    from cakravia_verify.site.lock import Lock

    found = read_backup(archive)
    folder = Path(context.find_root().params["site_file"]).parent
    settings = _settings_of(found, folder)
    plan = plan_restore(found, folder, settings)
    click.echo(f"{archive.name}: site {found.site}, {found.at[:19].replace('T', ' ')} UTC, {found.reason}")
    for line in plan.kept:
        click.echo(f"  {line}")
    for file in plan.files:
        click.echo(f"  {file.path}: {'replaced' if file.replaces else 'new'}")
    for path in found.certificates:
        click.echo(f"  {path}: {'here' if Path(path).is_file() else 'missing: bring it back yourself'}")
    if not plan.files:
        click.echo("nothing to restore")
        return
    if not yes and not (sys.stdin.isatty() and click.confirm("Restore?")):
        raise UsageError("nothing was restored", remedy="type: cakravia restore FILE --yes")
    lock = Lock(settings.state / "lock")
    lock.acquire("cakravia restore")
    try:
        for line in write(plan):
            click.echo(line)
    finally:
        lock.release()


def _settings_of(found: Backup, folder: Path) -> Settings:
    """Return the settings of the archive, as they will be in the folder. Raises UsageError without any."""
    from cakravia_verify.settings.loading import load_settings
    from cakravia_verify.setup.backup import SETTINGS

    name, content = next(
        ((name, text) for name, text in found.of(SETTINGS).items() if name.endswith(".toml")), ("", b"")
    )
    if not name:
        raise UsageError(f"{found.path} has no settings file", remedy="name another backup")
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / name).write_bytes(content)
        settings = load_settings(Path(place) / name)
    return settings.model_copy(update={"root": folder.resolve(), "file": folder.resolve() / name})
