"""`cakravia keys`: the keys that sign verdicts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cakravia_verify.site.site import Site


@click.group()
def keys() -> None:
    """Make and revoke the keys that sign verdicts.

    \b
      cakravia keys init
      cakravia keys revoke shop.pub.json --reason "laptop stolen"
    """


@keys.command()
@click.option("--days", default=365.0, show_default=True, type=click.FloatRange(1, 3650), help="How long it is valid.")
@click.pass_obj
def init(open_site: Callable[[], Site], days: float) -> None:
    """Make a pair of keys for this site. From now on every release signs its verdict.

    \b
      cakravia keys init --days 365

    The private key stays in the state folder with mode 0600. Copy the public file to each machine that verifies.
    """
    from cakravia_verify.report.attestation.keys import make_keys

    site = open_site()
    name, folder = site.settings.site.name, site.settings.root
    public = folder / f"{name}.pub.json"
    facts = make_keys(site.settings.signing_key, public, site=name, wall=site.clock.wall(), days=days)
    click.echo(f"private key: {site.settings.signing_key} (0600: keep it secret)")
    click.echo(f"public key:  {public}, valid until {facts.expires:%Y-%m-%d}")
    click.echo(f"trust it elsewhere: cakravia deploy VERSION --require-verdict FILE --trust {public.name}")


@keys.command()
@click.argument("public", type=click.Path(path_type=Path))
@click.option("--reason", required=True, help="Why it is no longer trusted.")
def revoke(public: Path, reason: str) -> None:
    """Mark a public key as revoked. Every place that trusts it needs the new file.

    \b
      cakravia keys revoke site.pub --reason "laptop stolen"
    """
    from cakravia_verify.report.attestation.keys import revoke as mark

    mark(public, reason=reason)
    click.echo(f"{public}: revoked; copy this file to every place that trusts it")
