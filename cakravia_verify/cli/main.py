"""The operator's command: look, start, stop, repair. Releasing and rolling back are pytest sessions."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cakravia_verify import __version__
from cakravia_verify.cli.rollback import rollback
from cakravia_verify.errors import CakraviaError, LockHeld, RollbackFailed, UsageError
from cakravia_verify.gate.model import Exit

if TYPE_CHECKING:
    from rich.table import Table

    from cakravia_verify.history.releases import Record
    from cakravia_verify.site.site import Site, SiteState
    from cakravia_verify.slots import Slot


class _Told(click.Group):
    """Errors of ours end as a sentence and an exit status, never as a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        # What people and applications wrote may be no text in this terminal's encoding; a history is to be read anyway.
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        try:
            return super().invoke(ctx)
        except CakraviaError as error:
            click.echo(f"cakravia: {error}", err=True)
            sys.exit(_status_of(error))


def _status_of(error: CakraviaError) -> int:
    if isinstance(error, UsageError):
        return Exit.USAGE_ERROR
    if isinstance(error, LockHeld):
        return Exit.LOCK_HELD
    if isinstance(error, RollbackFailed):
        return Exit.NEEDS_A_PERSON
    return 1


@click.group(cls=_Told, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--site", "site_file", default="cakravia.toml", show_default=True, help="The site's settings.")
@click.option("--set", "pairs", multiple=True, metavar="KEY=VALUE", help="A setting, as in slots.blue=3100.")
@click.version_option(__version__, prog_name="cakravia")
@click.pass_context
def main(context: click.Context, site_file: str, pairs: tuple[str, ...]) -> None:
    """Releases that lose nothing, and can prove it.

    Release with `pytest suites/deploy --version v1.2.0`, go back with `pytest suites/rollback --reason "why"`.
    """

    def opened() -> Site:
        from cakravia_verify.settings.loading import load_settings
        from cakravia_verify.site.assembly import open_site

        overrides = []
        for pair in pairs:
            key, equals, value = pair.partition("=")
            if not equals:
                raise UsageError(f"--set {pair!r} has no value", remedy="write it as --set section.key=value")
            overrides.append((key, value))
        return open_site(load_settings(Path(site_file), overrides=overrides))

    context.obj = opened


@main.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def status(opened: Callable[[], Site], as_json: bool) -> None:
    """Who serves users, what waits, and whether anything disagrees."""
    site = opened()
    state = site.observe()
    if as_json:
        click.echo(json.dumps(_state_as_json(site, state), indent=2, default=str))
        return
    for line in _told_state(site, state):
        click.echo(line)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="For programs: one object a release.")
@click.option("--last", default=20, show_default=True, type=click.IntRange(min=1), help="How many releases.")
@click.pass_obj
def history(opened: Callable[[], Site], as_json: bool, last: int) -> None:
    """Every release: who, why, what became of it."""
    from cakravia_verify.history.releases import records

    site = opened()
    found = records(site.journal.entries())[-last:]
    if as_json:
        for record in found:
            click.echo(json.dumps(_record_as_json(record), default=str))
        return
    for problem in site.journal.damage():
        click.echo(f"damaged: {problem}", err=True)
    if not found:
        click.echo(f"no release yet; the history will be {site.journal.path}")
        return
    _print_table(_history_table(found))


@main.command()
@click.pass_obj
def up(opened: Callable[[], Site]) -> None:
    """Start the site: the version that was active last, and the proxy."""
    from cakravia_verify.recovery.lifecycle import bring_up
    from cakravia_verify.recovery.repair import take_up_changes

    with _locked(opened(), "up") as site:
        for line in bring_up(site):
            click.echo(line)
        for line in take_up_changes(site):
            click.echo(line)


@main.command()
@click.pass_obj
def down(opened: Callable[[], Site]) -> None:
    """Stop the site: the proxy first, so that requests under way are finished, then the slots."""
    from cakravia_verify.recovery.lifecycle import bring_down

    with _locked(opened(), "down") as site:
        click.echo(bring_down(site))


@main.command()
@click.pass_obj
def recover(opened: Callable[[], Site]) -> None:
    """Finish or undo releases that died, and mend what disagrees; exit status 11 where something still does."""
    from cakravia_verify.recovery.repair import repair, take_up_changes

    with _locked(opened(), "recover") as site:
        done = False
        for line in repair(site):
            click.echo(line)
            done = True
        # After the repair: a certificate that cannot be read must not keep users waiting for it.
        for line in (changes := take_up_changes(site)):
            click.echo(line)
        state = site.observe()
    # With the lock free again: else this very command would be shown as the one that holds the site.
    click.echo("\n".join(_told_state(site, state)) if done or changes or state.drift else "nothing to recover")
    if state.drift:
        sys.exit(Exit.NEEDS_A_PERSON)


@main.command()
@click.argument("slot", type=click.Choice(["blue", "green", "proxy"]))
@click.option("--lines", default=50, show_default=True, type=click.IntRange(min=1), help="How many lines.")
@click.pass_obj
def logs(opened: Callable[[], Site], slot: str, lines: int) -> None:
    """The last lines that a slot's application, or the proxy, wrote."""
    from cakravia_verify.slots import Colour

    site = opened()
    text = site.proxy.logs(lines=lines) if slot == "proxy" else site.platform.logs(Colour(slot), lines=lines)
    click.echo(text or f"{slot} has written nothing")


@main.command()
@click.argument("verdict", type=click.Path(path_type=Path))
@click.option("--version", "version", required=True, help="The version that must have been promoted.")
@click.option("--digest", default="", help="The artifact digest that must have been promoted: sha256:...; required.")
@click.option("--release", "release", default="", metavar="ID", help="The release that must have promoted it.")
def gate(verdict: Path, version: str, digest: str, release: str) -> None:
    """Whether a verdict.json says PROMOTE for exactly this version: the artefact decides, not an exit status.

    Its evidence is weighed again, and every file beside it must be as the release left it.
    """
    from cakravia_verify.report.verdict.file import altered_files, read_verdict, still_holds

    if not digest:
        raise UsageError(
            "--digest is missing: a version can be built twice, and a verdict is on one artifact",
            remedy="name the digest of what you built: on Docker the id that `docker image inspect` tells, anywhere "
            "the one that `cakravia history --json --last 1` tells on the machine that released",
        )
    read = read_verdict(verdict)
    problems = still_holds(read, version=version, digest=digest, release=release) + altered_files(read)
    for problem in problems:
        click.echo(f"cakravia: {problem}", err=True)
    if problems:
        sys.exit(Exit.INCONCLUSIVE)
    click.echo(f"{version}: promoted by {read.release}, and the evidence is what it left")


main.add_command(rollback)


class _locked:  # noqa: N801 - reads as the state it is
    """The site under its lock for the length of a command."""

    def __init__(self, site: Site, purpose: str) -> None:
        self._site = site
        self._purpose = purpose

    def __enter__(self) -> Site:
        lease = self._site.lock.acquire(f"cakravia {self._purpose}")
        self._site.journal.token = lease.token
        if self._site.lock.taken_over:
            self._site.journal.append("lock.taken_over", holder=str(self._site.lock.taken_over))
        return self._site

    def __exit__(self, *_: object) -> None:
        self._site.lock.release()


def _told_state(site: Site, state: SiteState) -> Sequence[str]:
    lines = []
    active = state.active
    if state.is_empty:
        lines.append(f"{site.settings.site.name}: nothing runs")
    elif active and state.proxy.is_running:
        lines.append(
            f"{site.settings.site.name}: {active.version} serves users on {active.colour} at {site.proxy.address.url}"
        )
    else:
        lines.append(f"{site.settings.site.name}: users are not served")
    for slot in (state.slots.blue, state.slots.green):
        if slot is not None:
            role = _role_of(slot, state)
            place = f"{slot.digest[:19]}  {slot.address}"
            lines.append(f"  {slot.colour:<6} {slot.version:<16} {role:<20} up {_since(slot)}   {place}")
    for colour in ("blue", "green"):
        if getattr(state.slots, colour) is None and not state.is_empty:
            lines.append(f"  {colour:<6} empty")
    running = "running" if state.proxy.is_running else "not running"
    lines.append(f"  proxy  {running}, {site.proxy.address}, switch by {site.settings.proxy.switch}")
    if holder := site.lock.holder():
        lines.append(f"  busy   {holder}")
    lines += [f"  drift: {each}" for each in state.drift]
    return lines


def _role_of(slot: Slot, state: SiteState) -> str:
    if state.active and slot.colour is state.active.colour:
        return "active"
    return "warm, can stand in" if state.proxy.has_failover else "idle"


def _since(slot: Slot) -> str:
    seconds = max(0, int(datetime.now(UTC).timestamp() - slot.started_at))
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3600)
    minutes, seconds = divmod(rest, 60)
    if days:
        return f"{days}d {hours}h"
    return f"{hours}h {minutes:02d}m" if hours else f"{minutes}m {seconds:02d}s"


def _state_as_json(site: Site, state: SiteState) -> dict[str, Any]:
    def slot(each: Slot | None) -> dict[str, Any] | None:
        return None if each is None else asdict(each) | {"address": str(each.address)}

    holder = site.lock.holder()
    return {
        "site": site.settings.site.name,
        "active": str(state.active.colour) if state.active else None,
        "version": state.active.version if state.active else None,
        "served": str(state.served) if state.served else None,
        "slots": {"blue": slot(state.slots.blue), "green": slot(state.slots.green)},
        "proxy": asdict(state.proxy) | {"address": str(site.proxy.address)},
        "drift": list(state.drift),
        "lock": asdict(holder) if holder else None,
    }


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


def _history_table(found: Sequence[Record]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from cakravia_verify.report.text.wording import one_line

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in ("when (UTC)", "what", "version", "slot", "outcome", "took", "who", "why"):
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
            Text(one_line(record.intent.reason or ("" if record.outcome == "promoted" else record.why))),
        )
    return table


def _print_table(table: Table) -> None:
    from rich.console import Console

    # Piped output is not a terminal of 80 columns: nothing is folded there.
    Console(width=None if sys.stdout.isatty() else 240, highlight=False).print(table)
