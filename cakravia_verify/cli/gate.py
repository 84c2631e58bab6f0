"""`cakravia gate`: what a pipeline asks before it goes on."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cakravia_verify.errors import UsageError
from cakravia_verify.gate.model import Exit

if TYPE_CHECKING:
    from cakravia_verify.report.attestation.verification import Wanted
    from cakravia_verify.report.verdict.file import ReadVerdict


@click.command()
@click.argument("verdict", type=click.Path(path_type=Path))
@click.option("--version", "version", required=True, help="The version that must be promoted.")
@click.option("--digest", default="", metavar="SHA256", help="The digest that must be promoted: sha256:... (required).")
@click.option("--release", "release", default="", metavar="ID", help="The release that must have promoted it.")
@click.option(
    "--trust", "trust", multiple=True, type=click.Path(path_type=Path), help="A public key that must have signed."
)
@click.option("--policy", default="", metavar="SHA256", help="With --trust: the policy that the release was held to.")
@click.option("--max-age", default=30.0, show_default=True, metavar="DAYS", help="With --trust: the greatest age.")
def gate(
    verdict: Path, version: str, digest: str, release: str, trust: tuple[Path, ...], policy: str, max_age: float
) -> None:
    """Check that a verdict.json promotes exactly one build.

    \b
      cakravia gate reports/latest --version v1.2.0 --digest sha256:...
      cakravia gate reports/latest --version v1.2.0 --digest sha256:... --trust site.pub

    VERDICT is the file, or the folder of the report. The gate weighs the evidence again. Every file of the report must
    be unchanged, and no other file may lie there. A pipeline can check the folder later, and on another machine. A
    newer release of the same version that did not promote it is told.

    With --trust also verdict.intoto.json beside it must be signed by one of these keys.

    Exit status 10: the verdict does not prove the promotion.
    """
    from cakravia_verify.report.attestation.verification import Wanted
    from cakravia_verify.report.verdict.file import read_verdict, still_holds
    from cakravia_verify.report.verdict.surrounding import altered_files, newer_failures

    if not digest:
        raise UsageError(
            "--digest is missing: a version can have several builds, and a verdict belongs to one of them",
            remedy="name the digest of your build. `docker image inspect` shows the id of an image. On the machine "
            "that released, `cakravia history --json --last 1` shows the digest on every platform",
        )
    read = read_verdict(verdict)
    problems = still_holds(read, version=version, digest=digest, release=release) + altered_files(read)
    if trust:
        problems += _unsigned(read, trust, Wanted(version, digest=digest, policy=policy, days=max_age))
    elif policy:
        raise UsageError("--policy needs --trust", remedy="name the public key of the site that released: --trust KEY")
    for problem in problems:
        click.echo(f"cakravia: {problem}", err=True)
    for line in newer_failures(read):
        click.echo(f"cakravia: note: {line}", err=True)
    if problems:
        sys.exit(Exit.INCONCLUSIVE)
    click.echo(f"{version}: release {read.release} promoted it, and the evidence is unchanged")


def _unsigned(read: ReadVerdict, trust: Sequence[Path], wanted: Wanted) -> list[str]:
    """Return why the verdict is not the one that a trusted key signed."""
    from cakravia_verify.report.attestation.keys import read_trusted
    from cakravia_verify.report.attestation.verification import against_report, verify
    from cakravia_verify.report.sealing import fingerprint
    from cakravia_verify.report.verdict.model import ENVELOPE_NAME

    keys = [read_trusted(file) for file in trust]
    found = verify(read.path.parent / ENVELOPE_NAME, keys, wanted=wanted, now=time.time())
    reasons = list(found.reasons)
    if found.statement is not None:
        sealed = {read.path.name: fingerprint(read.path), **read.files}
        reasons += against_report(found.statement, release=read.release, sealed=sealed)
    return [f"signature: {reason}" for reason in reasons]
