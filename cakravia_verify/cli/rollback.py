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
    from cakravia_verify.recovery.rollback_target import RollbackTarget
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
    from cakravia_verify.recovery.rollback_target import preview_rollback, rollback_targets

    site = opened()
    way = preview_rollback(site, version=version)
    last = next(iter(reversed(rollback_targets(site.journal.entries()))), None)
    if as_json:
        click.echo(json.dumps(_as_json(way) | {"last": _record_as_json(last) if last else None}, indent=2))
        return
    click.echo(f"users are on   {way.active or 'nothing'}")
    if way.target is None:
        click.echo("back to        nowhere")
    else:
        place = "warm: it runs already" if way.is_warm else "cold: it is started first"
        click.echo(f"back to        {way.target.version}  {way.target.digest[:19]}  ({place})")
    click.echo(f"last time      {_told(last) if last else 'never'}")
    closed = [finding for finding in way.findings if not finding.is_ok]
    click.echo(f"possible now   {'yes' if way.is_open else 'no: ' + closed[0].seen}{_told_time(way.estimate)}")


@rollback.command()
@_VERSION
@_JSON
@click.pass_obj
def validate(opened: Callable[[], Site], version: str, as_json: bool) -> None:
    """Whether a rollback would succeed now: everything it needs, looked at one by one.

    Exit status: 0 it would, 1 it would not, 4 there is nothing to go back to.
    """
    from cakravia_verify.recovery.rollback_target import preview_rollback

    way = preview_rollback(opened(), version=version)
    if as_json:
        click.echo(json.dumps(_as_json(way), indent=2))
    else:
        for line in _told_findings(way):
            click.echo(line)
    if not way.is_open:
        sys.exit(NOWHERE if way.target is None else CLOSED)


@rollback.command()
@click.option("--last", default=20, show_default=True, type=click.IntRange(min=1), help="How many.")
@click.option("--json", "as_json", is_flag=True, help="For programs: one object a line.")
@click.pass_obj
def history(opened: Callable[[], Site], last: int, as_json: bool) -> None:
    """Every time users were brought back: by a person, or because a release was undone."""
    from cakravia_verify.recovery.rollback_target import rollback_targets

    site = opened()
    found = rollback_targets(site.journal.entries())[-last:]
    if not as_json:
        for problem in site.journal.damage():
            click.echo(f"damaged: {problem}", err=True)
    if not found and not as_json:
        click.echo("nobody was ever brought back")
    for record in found:
        click.echo(json.dumps(_record_as_json(record)) if as_json else _told(record))


def _told_findings(way: RollbackTarget) -> Iterator[str]:
    width = max(len(finding.name) for finding in way.findings)
    for finding in way.findings:
        yield f"{'ok ' if finding.is_ok else 'not'}  {finding.name:<{width}}  {finding.seen}"
        if not finding.is_ok and finding.remedy:
            yield f"     -> {finding.remedy}"
    if way.target is None:
        yield "There is nothing to go back to."
    elif way.is_open:
        yield f"A rollback to {way.target.version} would succeed{_told_time(way.estimate)}: {HOW_TO_GO_BACK}"
    else:
        yield f"A rollback to {way.target.version} would not succeed now; users would stay where they are."


def _told_time(estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    return f", users back after {estimate.users_back:.1f} s, all done after {estimate.whole:.1f} s ({estimate.basis})"


def _told(record: Record) -> str:
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


def _as_json(way: RollbackTarget) -> dict[str, Any]:
    return {
        "possible": way.is_open,
        "active": way.active.version if way.active else None,
        "target": asdict(way.target) if way.target else None,
        "warm": way.is_warm,
        "findings": [
            {"name": each.name, "ok": each.is_ok, "seen": each.seen, "remedy": each.remedy} for each in way.findings
        ],
        "seconds": asdict(way.estimate) if way.estimate else None,
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
