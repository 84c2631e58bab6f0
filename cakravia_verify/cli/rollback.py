"""`cakravia rollback`: whether the way back is open, and who took it. Going back is a pytest session."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from cakravia_verify.history.releases import Record
    from cakravia_verify.recovery.rollback_estimate import Estimate
    from cakravia_verify.recovery.rollback_target import RollbackPreview
    from cakravia_verify.site.site import Site

HOW_TO_GO_BACK = 'pytest suites/rollback --reason "..."'
CLOSED, NOWHERE = 1, 4
_VERSION = click.option("--version", default="", help="The version to go back to; else the one before the active one.")
_JSON = click.option("--json", "as_json", is_flag=True, help="For programs.")


@click.group()
def rollback() -> None:
    """Whether a rollback would succeed now, and the rollbacks there were.

    None of these changes anything. Users are brought back by `pytest suites/rollback --reason "why"`.
    """


@rollback.command()
@_VERSION
@_JSON
@click.pass_obj
def status(opened: Callable[[], Site], version: str, as_json: bool) -> None:
    """Where users are, where a rollback would bring them, and the last time one did."""
    from cakravia_verify.recovery.rollback_target import past_rollbacks, preview_rollback

    site = opened()
    preview = preview_rollback(site, version=version)
    last = next(iter(reversed(past_rollbacks(site.journal.entries()))), None)
    if as_json:
        click.echo(json.dumps(_as_json(preview) | {"last": _record_as_json(last) if last else None}, indent=2))
        return
    click.echo(f"users are on   {preview.active or 'nothing'}")
    if preview.target is None:
        click.echo("back to        nowhere")
    else:
        place = "warm: it runs already" if preview.is_warm else "cold: it is started first"
        click.echo(f"back to        {preview.target.version}  {preview.target.digest[:19]}  ({place})")
    click.echo(f"last time      {_record_line(last) if last else 'never'}")
    closed = [check for check in preview.checks if not check.is_ok]
    click.echo(
        f"possible now   {'yes' if preview.is_possible else 'no: ' + closed[0].detail}{_duration(preview.estimate)}"
    )


@rollback.command()
@_VERSION
@_JSON
@click.pass_obj
def validate(opened: Callable[[], Site], version: str, as_json: bool) -> None:
    """Whether a rollback would succeed now: everything it needs, looked at one by one.

    Exit status: 0 it would, 1 it would not, 4 there is nothing to go back to.
    """
    from cakravia_verify.recovery.rollback_target import preview_rollback

    preview = preview_rollback(opened(), version=version)
    if as_json:
        click.echo(json.dumps(_as_json(preview), indent=2))
    else:
        for line in _check_lines(preview):
            click.echo(line)
    if not preview.is_possible:
        sys.exit(NOWHERE if preview.target is None else CLOSED)


@rollback.command()
@click.option("--last", default=20, show_default=True, type=click.IntRange(min=1), help="How many.")
@click.option("--json", "as_json", is_flag=True, help="For programs: one object a line.")
@click.pass_obj
def history(opened: Callable[[], Site], last: int, as_json: bool) -> None:
    """Every time users were brought back: by a person, or because a release was undone."""
    from cakravia_verify.recovery.rollback_target import past_rollbacks

    site = opened()
    found = past_rollbacks(site.journal.entries())[-last:]
    if not as_json:
        for problem in site.journal.damage():
            click.echo(f"damaged: {problem}", err=True)
    if not found and not as_json:
        click.echo("nobody was ever brought back")
    for record in found:
        click.echo(json.dumps(_record_as_json(record)) if as_json else _record_line(record))


def _check_lines(preview: RollbackPreview) -> Iterator[str]:
    width = max(len(check.name) for check in preview.checks)
    for check in preview.checks:
        yield f"{'ok ' if check.is_ok else 'not'}  {check.name:<{width}}  {check.detail}"
        if not check.is_ok and check.remedy:
            yield f"     -> {check.remedy}"
    if preview.target is None:
        yield "There is nothing to go back to."
    elif preview.is_possible:
        yield f"A rollback to {preview.target.version} would succeed{_duration(preview.estimate)}: {HOW_TO_GO_BACK}"
    else:
        yield f"A rollback to {preview.target.version} would not succeed now; users would stay where they are."


def _duration(estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    return f", users back after {estimate.users_back:.1f} s, all done after {estimate.whole:.1f} s ({estimate.basis})"


def _record_line(record: Record) -> str:
    from cakravia_verify.report.text.wording import one_line

    intent = record.intent
    asked = intent.kind == "rollback"
    what = f"{intent.active_version or 'nothing'} -> {intent.version}" if asked else f"{intent.version} was undone"
    why = intent.reason or record.why
    outcome = record.outcome or "unfinished"
    took = f", {record.seconds:.1f} s" if record.seconds else ""
    # What people and applications wrote is read here, and acts on nobody's terminal.
    parts = (record.at[:19].replace("T", " "), what, f"({outcome}{took})", record.who, why)
    return "  ".join(one_line(part) for part in parts if part)


def _as_json(preview: RollbackPreview) -> dict[str, Any]:
    return {
        "possible": preview.is_possible,
        "active": preview.active.version if preview.active else None,
        "target": asdict(preview.target) if preview.target else None,
        "warm": preview.is_warm,
        "findings": [
            {"name": each.name, "ok": each.is_ok, "seen": each.detail, "remedy": each.remedy} for each in preview.checks
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
