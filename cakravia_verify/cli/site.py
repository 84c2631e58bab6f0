"""The commands that look at the running site, start it, stop it and repair it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from cakravia_verify.cli.site_state import state_as_json, state_lines
from cakravia_verify.cli.terminal_text import echo_line
from cakravia_verify.errors import CakraviaError
from cakravia_verify.foreign_text import harmless
from cakravia_verify.gate.model import Exit

if TYPE_CHECKING:
    from cakravia_verify.site.site import Site

# Characters of a log on the terminal.
_LONGEST_LOG: Final = 4 * 2**20
_TEXT_COLUMN: Final = 9


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def status(open_site: Callable[[], Site], as_json: bool) -> None:
    """Show which slot serves users, and any drift.

    \b
      cakravia status
      cakravia status --json
    """
    site = open_site()
    state = site.observe()
    if as_json:
        click.echo(json.dumps(state_as_json(site, state), indent=2, default=str))
        return
    for line in state_lines(site, state):
        echo_line(line, indent=_TEXT_COLUMN)


@click.command()
@click.pass_obj
def up(open_site: Callable[[], Site]) -> None:
    """Start the proxy and the version that was active last, with its companions; then the version before, warm.

    \b
      cakravia up
    Users who are served already are not moved.
    """
    from cakravia_verify.recovery.lifecycle import bring_up
    from cakravia_verify.recovery.repair import take_up_changes
    from cakravia_verify.recovery.warm_slot import warm_again

    with locked(open_site(), "up") as site:
        for line in chain.from_iterable(act(site) for act in (bring_up, take_up_changes, warm_again)):
            click.echo(line)


@click.command()
@click.pass_obj
def down(open_site: Callable[[], Site]) -> None:
    """Stop the proxy, then the slots and their companions.

    \b
      cakravia down
    The proxy stops first, so that requests in flight are answered.
    """
    from cakravia_verify.recovery.lifecycle import bring_down

    with locked(open_site(), "down") as site:
        click.echo(bring_down(site))


@click.command()
@click.option(
    "--accept-history", is_flag=True, help="First make a damaged history usable: what can be read of it counts."
)
@click.pass_obj
def recover(open_site: Callable[[], Site], accept_history: bool) -> None:
    """Finish or undo interrupted releases, and repair drift.

    \b
      cakravia recover
    Exit status 11: some drift is left.
    """
    from cakravia_verify.recovery.accepted_history import accept_history as accept
    from cakravia_verify.recovery.repair import await_users_on_chosen, repair, take_up_changes
    from cakravia_verify.recovery.warm_slot import warm_again

    acts = (*((accept,) if accept_history else ()), repair, take_up_changes, warm_again)
    with locked(open_site(), "recover") as site:
        is_changed = False
        # After the repair: users must not wait for a certificate that cannot be read, nor for the slot that stands by.
        for line in chain.from_iterable(act(site) for act in acts):
            click.echo(line)
            is_changed = True
        if is_changed:
            await_users_on_chosen(site)
        state = site.observe()
    # After the lock is free: else the state would name this command as the holder of the site.
    click.echo("\n".join(state_lines(site, state)) if is_changed or state.drift else "nothing to recover")
    if state.drift:
        sys.exit(Exit.NEEDS_A_PERSON)


def _parts(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return the parts with a log for the shell's completion; without companions if cakravia.toml cannot be read."""
    from cakravia_verify.settings.loading import load_settings
    from cakravia_verify.slots import Colour

    names = [*Colour, "proxy"]
    with suppress(CakraviaError, OSError):
        names += [companion.name for companion in load_settings(Path("cakravia.toml")).companions]
    return [str(name) for name in names if name.startswith(incomplete)]


@click.command()
@click.argument("part", shell_complete=_parts)
@click.option("--lines", default=50, show_default=True, type=click.IntRange(min=1), help="How many lines to print.")
@click.pass_obj
def logs(open_site: Callable[[], Site], part: str, lines: int) -> None:
    """Print the last lines of the log of PART: blue, green, proxy, or the name of a companion.

    \b
      cakravia logs blue
      cakravia logs proxy --lines 200
    """
    from cakravia_verify.slots import Colour

    site = open_site()
    companions = [companion.name for companion in site.settings.companions]
    if part == "proxy":
        text = site.proxy.logs(lines=lines)
    elif part in set(Colour):
        text = site.platform.logs(Colour(part), lines=lines)
    elif part in companions:
        text = site.platform.companions.logs(part, lines=lines)
    else:
        raise click.BadParameter(f"{part!r} is not one of {', '.join([*Colour, 'proxy', *companions])}")
    click.echo(harmless(text, longest=_LONGEST_LOG) or f"the log of {part} is empty")


@contextmanager
def locked(site: Site, purpose: str) -> Iterator[Site]:
    """Hold the lock of the site. The journal records a lock that was taken over from a dead process."""
    from cakravia_verify.system.resources import use_disk_reserve

    for line in use_disk_reserve(site.settings.state):
        click.echo(line)
    lease = site.lock.acquire(f"cakravia {purpose}")
    try:
        site.journal.token = lease.token
        if site.lock.taken_over:
            site.journal.append("lock.taken_over", holder=str(site.lock.taken_over))
        for notice in site.lock.notices:
            click.echo(notice)
        yield site
    finally:
        site.lock.release()
