"""`cakravia build`: make the artifact of a version now, and release exactly that one later."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cakravia_verify.site.site import Site


@click.command()
@click.argument("version")
@click.pass_obj
def build(open_site: Callable[[], Site], version: str) -> None:
    """Build a version, keep it, and print its digest. Users notice nothing.

    \b
      cakravia build v1.2.0
      cakravia deploy v1.2.0 --digest sha256:9b0f...
    The second command releases exactly this artifact and builds nothing.
    """
    from cakravia_verify.slots import checked_version
    from cakravia_verify.system.clock import Deadline

    site = open_site()
    site.platform.check()
    deadline = Deadline("the build ends", site.settings.app.build_timeout, clock=site.clock)
    artifact = site.platform.build(checked_version(version), deadline=deadline)
    click.echo(artifact.digest)
