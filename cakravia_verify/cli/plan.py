"""`cakravia plan`: what a release would do now; it changes nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

import click

from cakravia_verify.cli.terminal_text import echo_line

if TYPE_CHECKING:
    from cakravia_verify.recovery.release_preview import ReleasePreview
    from cakravia_verify.site.site import Site

REFUSED: Final = 1
_TEXT_COLUMN: Final = 26


@click.command()
@click.argument("version")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def plan(open_site: Callable[[], Site], version: str, as_json: bool) -> None:
    """Show what a release would do: cakravia plan v1.2.0

    \b
      cakravia plan v1.2.0
      cakravia plan v1.2.0 --json
    The steps are in order, with the durations of earlier releases. Nothing is changed.
    Exit status 1: the release would be refused now.
    """
    from cakravia_verify.recovery.release_preview import preview_release

    preview = preview_release(open_site(), version)
    if as_json:
        click.echo(json.dumps(_as_json(preview), indent=2))
    else:
        for line in _lines(preview):
            echo_line(line, indent=_TEXT_COLUMN)
    if preview.problems:
        sys.exit(REFUSED)


def _lines(preview: ReleasePreview) -> Iterator[str]:
    users = f"users are on {preview.state.active}" if preview.state.active else "there are no users yet"
    yield f"{preview.version} into {preview.state.slots.idle_colour}; {users}"
    yield from (f"  refused    {problem}" for problem in preview.problems)
    yield from (f"  first      {line}" for line in preview.first)
    for step in preview.steps:
        seconds = "" if step.seconds is None else f"{step.seconds:.1f} s"
        yield f"  {step.name:<14} {seconds:>7}  {step.does}"
    if preview.seconds is not None:
        yield f"  {'in all':<14} {preview.seconds:>5.1f} s  {preview.basis}"


def _as_json(preview: ReleasePreview) -> dict[str, Any]:
    active = preview.state.active
    return {
        "version": preview.version,
        "slot": str(preview.state.slots.idle_colour),
        "active": active.version if active else None,
        "possible": not preview.problems,
        "problems": list(preview.problems),
        "first": list(preview.first),
        "steps": [{"step": step.name, "does": step.does, "seconds": step.seconds} for step in preview.steps],
        "seconds": preview.seconds,
    }
