"""`cakravia gate`: what a pipeline asks before it goes on."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from cakravia_verify.errors import UsageError
from cakravia_verify.gate.model import Exit


@click.command()
@click.argument("verdict", type=click.Path(path_type=Path))
@click.option("--version", "version", required=True, help="The version that must be promoted.")
@click.option("--digest", default="", metavar="SHA256", help="The digest that must be promoted: sha256:... (required).")
@click.option("--release", "release", default="", metavar="ID", help="The release that must have promoted it.")
def gate(verdict: Path, version: str, digest: str, release: str) -> None:
    """Check that a verdict.json promotes exactly one build.

    VERDICT is the file, or the folder of the report. The gate weighs the evidence again. Every file of the report must
    be unchanged, and no other file may lie there. A pipeline can check the folder later, and on another machine. A
    newer release of the same version that did not promote it is told.

    Exit status 10: the verdict does not prove the promotion.
    """
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
    for problem in problems:
        click.echo(f"cakravia: {problem}", err=True)
    for line in newer_failures(read):
        click.echo(f"cakravia: note: {line}", err=True)
    if problems:
        sys.exit(Exit.INCONCLUSIVE)
    click.echo(f"{version}: release {read.release} promoted it, and the evidence is unchanged")
