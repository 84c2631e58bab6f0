"""`cakravia report`: past runs on the terminal, compared, and as one page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from cakravia_verify.errors import UsageError
from cakravia_verify.report.folder import LATEST

if TYPE_CHECKING:
    from cakravia_verify.site.site import Site

_NEWEST: Final = 200


@click.group()
def report() -> None:
    """Show past runs, compare two, or write an index of all.

    \b
      cakravia report show
      cakravia report compare A B
      cakravia report index
    A and B are the ids of runs, folders of reports, or latest.
    """


@report.command()
@click.argument("run", default=LATEST)
@click.pass_obj
def show(open_site: Callable[[], Site], run: str) -> None:
    """Show the verdict of a run: what happened, every check, and what to do next.

    \b
      cakravia report show
      cakravia report show v1.2.0
    """
    from cakravia_verify.report.text.formats import one_line
    from cakravia_verify.report.verdict.file import read_verdict

    read = read_verdict(_folder_of(run, open_site))
    click.echo(one_line(f"{read.decision}: {read.version or read.release} ({read.outcome})"))
    click.echo(one_line(read.raw["what_happened"]))
    for check in read.checks:
        line = f"{check.standing:<8} {check.title}: {check.value} (required: {check.threshold})"
        click.echo(f"  {one_line(line)}")
    click.echo(one_line(f"next: {read.raw['next_step']}"))
    click.echo(f"report: {read.path.resolve().parent / 'report.html'}")


@report.command()
@click.argument("first")
@click.argument("second", default=LATEST)
@click.pass_obj
def compare(open_site: Callable[[], Site], first: str, second: str) -> None:
    """Compare two runs: their figures, and every check that came out otherwise.

    \b
      cakravia report compare v1.1.0 v1.2.0
    """
    from cakravia_verify.report.runs import changed_checks, differences, figures_of
    from cakravia_verify.report.text.formats import one_line

    folders = [_folder_of(each, open_site) for each in (first, second)]
    lines = changed_checks(*folders)
    for each in differences(*map(figures_of, folders)):
        row = f"{each.title:<10} {one_line(each.first):<28} {one_line(each.second):<28} {each.change}"
        click.echo(row.rstrip())
    for line in lines:
        click.echo(f"  {one_line(line)}")
    if not lines:
        click.echo("  every check came out alike")


@report.command()
@click.option("--newest", default=_NEWEST, show_default=True, type=click.IntRange(1, 10_000), help="How many runs.")
@click.pass_obj
def index(open_site: Callable[[], Site], newest: int) -> None:
    """Write reports/index.html: every run with its outcome, and the trends. One file that works offline.

    \b
      cakravia report index

    `cakravia prune` removes old reports; write the index again afterwards.
    """
    from cakravia_verify.report.html.index import render_index
    from cakravia_verify.report.runs import figures_in
    from cakravia_verify.system.files import write_atomically

    reports = open_site().settings.reports
    runs = figures_in(reports, newest=newest)
    page = reports / "index.html"
    try:
        write_atomically(page, render_index(runs).encode(), mode=0o644)
    except OSError as error:
        raise UsageError(f"{page} cannot be written: {error.strerror}", remedy="correct the folder's rights") from error
    click.echo(f"{page}: {len(runs)} runs")


def _folder_of(run: str, open_site: Callable[[], Site]) -> Path:
    """Return the folder of a run, named by its id or its path. Raises UsageError if there is none."""
    reports = open_site().settings.reports
    for folder in (reports / run, Path(run)):
        if folder.is_dir():
            return folder.resolve()
    raise UsageError(f"there is no report {run!r} in {reports}", remedy="list the runs: cakravia history")
