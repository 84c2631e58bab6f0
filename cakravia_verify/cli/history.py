"""`cakravia history`: the releases that the journal records."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.table import Table

    from cakravia_verify.history.releases import Record
    from cakravia_verify.site.site import Site

# A pipe has no width, so nothing is folded there.
PIPE_COLUMNS = 240
# A narrower terminal gets two lines for each release, since a table would break words.
TABLE_COLUMNS = 140
_INDENT = 4


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per release.")
@click.option("--last", default=20, show_default=True, type=click.IntRange(min=1), help="How many releases to show.")
@click.pass_obj
def history(open_site: Callable[[], Site], as_json: bool, last: int) -> None:
    """List the releases: when, who, why, and the outcome.

    \b
      cakravia history
      cakravia history --last 5
      cakravia history --json --last 1
    """
    from cakravia_verify.history.releases import records

    site = open_site()
    found = records(site.journal.entries())[-last:]
    if as_json:
        for record in found:
            click.echo(json.dumps(_record_as_json(record), default=str))
        return
    for problem in site.journal.damage():
        click.echo(f"damaged: {problem}", err=True)
    if not found:
        click.echo(f"no release yet; the history file will be {site.journal.path}")
        return
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else PIPE_COLUMNS
    if width < TABLE_COLUMNS:
        for line in history_lines(found, width=width):
            click.echo(line)
        return
    _print_table(_history_table(found))


def _record_as_json(record: Record) -> dict[str, Any]:
    return {
        "release": record.intent.release,
        "kind": record.intent.kind,
        "version": record.intent.version,
        "slot": str(record.intent.candidate),
        "from_version": record.intent.active_version,
        "outcome": record.outcome or "unfinished",
        "decision": record.decision,
        "why": record.why,
        "reason": record.intent.reason,
        "who": record.who,
        "at": record.at,
        "seconds": record.seconds,
        "digest": record.digest,
        "steps": dict(record.step_seconds),
    }


def history_lines(found: Sequence[Record], *, width: int) -> Iterator[str]:
    """Yield the releases for a narrow terminal: one line for what happened, then who and why, broken between words."""
    from cakravia_verify.report.text.formats import one_line
    from cakravia_verify.report.text.live_screen import folded

    longest = min(24, max(len(one_line(record.intent.version)) for record in found))
    for record in found:
        outcome = one_line(record.outcome or "unfinished")
        took = f"{record.seconds:.1f} s" if record.seconds else ""
        when, version = record.at[:16].replace("T", " "), one_line(record.intent.version)
        facts = f"{when}  {record.intent.kind:<8}  {version:<{longest}}  {record.intent.candidate!s:<5}"
        yield from folded(f"{facts}  {outcome}  {took}".rstrip(), width=width, indent=_INDENT)
        why = one_line(_why(record))
        words = f"{one_line(record.who)}: {why}" if why else one_line(record.who)
        yield from folded(f"{' ' * _INDENT}{words}", width=width, indent=_INDENT)


def _why(record: Record) -> str:
    return record.intent.reason or ("" if record.outcome == "promoted" else record.why)


def _history_table(found: Sequence[Record]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from cakravia_verify.report.text.formats import one_line

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in ("when (UTC)", "kind", "version", "slot", "outcome", "took", "who", "why"):
        table.add_column(name, no_wrap=name not in ("who", "why"), overflow="fold")
    styles = {"promoted": "green", "rolled back": "yellow", "unproven": "yellow"}
    for record in found:
        outcome = record.outcome or "unfinished"
        table.add_row(
            record.at[:19].replace("T", " "),
            one_line(record.intent.kind),
            Text(one_line(record.intent.version)),
            str(record.intent.candidate),
            Text(one_line(outcome), style=styles.get(outcome, "red")),
            f"{record.seconds:.1f} s" if record.seconds else "",
            Text(one_line(record.who)),
            Text(one_line(_why(record))),
        )
    return table


def _print_table(table: Table) -> None:
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else PIPE_COLUMNS, highlight=False).print(table)
