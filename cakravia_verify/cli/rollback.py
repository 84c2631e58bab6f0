"""`cakravia rollback`: the rollback itself, its preview, and the list of past ones."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import click

from cakravia_verify.cli.sessions import RollbackGroup, now
from cakravia_verify.command_options import with_options

if TYPE_CHECKING:
    from cakravia_verify.history.releases import Record
    from cakravia_verify.recovery.rollback_estimate import Estimate
    from cakravia_verify.recovery.rollback_target import RollbackPreview
    from cakravia_verify.site.site import Site

ROLLBACK_COMMAND: Final = 'cakravia rollback --reason "..."'
IMPOSSIBLE: Final = 1
NO_TARGET: Final = 4
_VERSION = click.option("--version", default="", help="The version to roll back to. [default: the one before]")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group(cls=RollbackGroup)
def rollback() -> None:
    """Roll back: cakravia rollback --reason "why"

    \b
      cakravia rollback --reason "why"                    to the version before
      cakravia rollback --version v1.2.0 --reason "why"   to another retained version
      cakravia rollback --now --reason "why"              users first, proof after, if the target runs already
    The other arguments are pytest's. The commands below change nothing.
    """


rollback.add_command(now)


@rollback.command()
@_VERSION
@_JSON
@click.pass_obj
def status(open_site: Callable[[], Site], version: str, as_json: bool) -> None:
    """Show the active version, the target and the last rollback.

    \b
      cakravia rollback status
    """
    from cakravia_verify.recovery.rollback_target import past_rollbacks, preview_rollback

    site = open_site()
    preview = preview_rollback(site, version=version)
    last = next(iter(reversed(past_rollbacks(site.journal.entries()))), None)
    if as_json:
        click.echo(json.dumps(_as_json(preview) | {"last": _record_as_json(last) if last else None}, indent=2))
        return
    click.echo(f"active         {preview.active or 'none'}")
    click.echo(f"target         {_target(preview)}")
    click.echo(f"last rollback  {_record_line(last) if last else 'none'}")
    failed = [check for check in preview.checks if not check.is_ok]
    answer = "yes" if preview.is_possible else f"no: {failed[0].detail}"
    click.echo(f"possible now   {answer}{_duration(preview.estimate)}")


@rollback.command()
@_VERSION
@_JSON
@click.pass_obj
def validate(open_site: Callable[[], Site], version: str, as_json: bool) -> None:
    """Check everything that a rollback needs, one line per check.

    \b
      cakravia rollback validate
      cakravia rollback validate --json
    Exit status: 0 a rollback would succeed, 1 it would not, 4 there is no target.
    """
    from cakravia_verify.recovery.rollback_target import preview_rollback

    preview = preview_rollback(open_site(), version=version)
    if as_json:
        click.echo(json.dumps(_as_json(preview), indent=2))
    else:
        for line in _check_lines(preview):
            click.echo(line)
    if not preview.is_possible:
        sys.exit(NO_TARGET if preview.target is None else IMPOSSIBLE)


@rollback.command()
@click.option("--last", default=20, show_default=True, type=click.IntRange(min=1), help="How many to show.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@click.pass_obj
def history(open_site: Callable[[], Site], last: int, as_json: bool) -> None:
    """List past rollbacks, and releases that were undone.

    \b
      cakravia rollback history
      cakravia rollback history --json
    """
    from cakravia_verify.recovery.rollback_target import past_rollbacks

    site = open_site()
    found = past_rollbacks(site.journal.entries())[-last:]
    if as_json:
        for record in found:
            click.echo(json.dumps(_record_as_json(record)))
        return
    for problem in site.journal.damage():
        click.echo(f"damaged: {problem}", err=True)
    for record in found:
        click.echo(_record_line(record))
    if not found:
        click.echo("no rollback yet")


def _target(preview: RollbackPreview) -> str:
    if preview.target is None:
        return "none"
    start = "warm: it runs already" if preview.is_warm else "cold: it must be started first"
    return f"{preview.target.version}  {preview.target.digest[:19]}  ({start})"


def _check_lines(preview: RollbackPreview) -> Iterator[str]:
    width = max(len(check.name) for check in preview.checks)
    for check in preview.checks:
        yield f"{'ok ' if check.is_ok else 'not'}  {check.name:<{width}}  {check.detail}"
        if not check.is_ok and check.remedy:
            yield f"     -> {check.command}"
    if preview.target is None:
        yield "There is no version to roll back to."
    elif preview.is_possible:
        yield f"A rollback to {preview.target.version} would succeed{_duration(preview.estimate)}."
        yield f"     -> {with_options(ROLLBACK_COMMAND)}"
    else:
        yield f"A rollback to {preview.target.version} would fail now. Users would stay where they are."


def _duration(estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    return f": users back after {estimate.users_back:.1f} s, end after {estimate.whole:.1f} s ({estimate.basis})"


def _record_line(record: Record) -> str:
    from cakravia_verify.report.text.formats import one_line

    intent = record.intent
    is_rollback = intent.policy.goes_back
    change = f"{intent.active_version or 'none'} -> {intent.version}" if is_rollback else f"{intent.version} was undone"
    why = intent.reason or record.why
    outcome = record.outcome or "unfinished"
    took = f", {record.seconds:.1f} s" if record.seconds else ""
    # Control characters in a reason or a name must not act on the terminal.
    parts = (record.at[:19].replace("T", " "), change, f"({outcome}{took})", record.who, why)
    return "  ".join(one_line(part) for part in parts if part)


def _as_json(preview: RollbackPreview) -> dict[str, Any]:
    return {
        "possible": preview.is_possible,
        "active": preview.active.version if preview.active else None,
        "target": asdict(preview.target) if preview.target else None,
        "warm": preview.is_warm,
        "findings": [
            {"name": each.name, "ok": each.is_ok, "seen": each.detail, "remedy": each.command}
            for each in preview.checks
        ],
        "seconds": asdict(preview.estimate) if preview.estimate else None,
    }


def _record_as_json(record: Record) -> dict[str, Any]:
    intent = record.intent
    return {
        "release": intent.release,
        "kind": intent.kind,
        "at": record.at,
        "who": record.who,
        "version": intent.version,
        "from_version": intent.active_version,
        "outcome": record.outcome or "unfinished",
        "reason": intent.reason,
        "why": record.why,
        "seconds": record.seconds,
        "steps": dict(record.step_seconds),
    }
