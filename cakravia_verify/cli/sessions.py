"""The commands that run a suite: each one becomes the pytest session over that suite."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from cakravia_verify.errors import UsageError
from cakravia_verify.kinds import DEPLOY, FAILOVER, LOAD, REGRESSION, ROLLBACK, SUITES

if TYPE_CHECKING:
    from cakravia_verify.site.site import Site

# Suites that check a site and release nothing, in their order. The complete suite is all of them.
CHECKS: Final = ("prerequisites", "health", "config", "containers", "load", "failover", "monitor")
# pytest's errors name the command that was typed. -P: a module of the project must not replace one of Python's.
_PROGRAM: Final = "import sys; from pytest import console_main; sys.argv[0] = {name!r}; sys.exit(console_main())"
_ARGUMENTS: Final = click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
# Arguments with which pytest runs no check.
_LISTING: Final = frozenset({"-h", "--help", "--collect-only", "--co", "--markers", "--fixtures"})
_PASS_ON: Final = {"ignore_unknown_options": True}


@click.command(context_settings=_PASS_ON)
@_ARGUMENTS
@click.pass_context
def deploy(context: click.Context, arguments: tuple[str, ...]) -> NoReturn:
    """Release a version: cakravia deploy v1.2.0

    \b
      cakravia deploy v1.2.0 --reason "Faster checkout"
      cakravia deploy v1.2.0 --bake 60 --rate 300
      cakravia deploy v1.2.0 --redeploy --wait 60
      cakravia deploy v1.2.0 --set release.drain=10
    The other arguments are pytest's, as in -q. Checks of your own are in suites/deploy beside cakravia.toml.

    \b
    Exit status: 0 promoted, 1 rolled back, 10 inconclusive, 4 wrong use, 11 needs a person, 12 the site is locked.
    """
    version, rest = _version_first(arguments)
    run_suites([DEPLOY.name], ["--release", version, *rest], context=context)


@click.command(context_settings=_PASS_ON)
@_ARGUMENTS
@click.pass_context
def load(context: click.Context, arguments: tuple[str, ...]) -> NoReturn:
    """Load the live site; releases nothing.

    \b
      cakravia load --duration 60 --rate 300
    The other arguments are pytest's, as in -q.
    """
    run_suites([LOAD.name], arguments, context=context)


@click.command(context_settings=_PASS_ON)
@_ARGUMENTS
@click.pass_context
def check(context: click.Context, arguments: tuple[str, ...]) -> NoReturn:
    """Check the site without changing it.

    \b
      cakravia check                            the complete suite, with a load of 20 s
      cakravia check prerequisites health
      cakravia check containers -k memory
    A suite's name chooses that suite. The other arguments are pytest's.

    \b
    Exit status: 0 all checks passed, 1 one failed, 10 inconclusive, 4 wrong use.
    """
    known = [name for name in CHECKS if (SUITES / name).is_dir()]
    chosen = [argument for argument in arguments if argument in known]
    rest = [argument for argument in arguments if argument not in known]
    run_suites(chosen or _fitting(known, context), rest, context=context)


@click.command(context_settings=_PASS_ON)
@_ARGUMENTS
@click.pass_context
def failover(context: click.Context, arguments: tuple[str, ...]) -> NoReturn:
    """Try what users see when a part dies, on a throw-away copy of the site.

    \b
      cakravia failover                                    every fault at every moment: about an hour
      cakravia failover --moment steady                    without releases: six minutes
      cakravia failover --fault slot-killed --moment during
    The names are in docs/FAILOVER.md. With --i-know-this-hurts the faults come to the live site.

    \b
    Exit status: 0 users saw what the table says, 1 they lost more, 10 inconclusive, 4 wrong use.
    """
    run_suites([FAILOVER.name], arguments, context=context)


@click.command(context_settings=_PASS_ON)
@_ARGUMENTS
@click.pass_context
def regression(context: click.Context, arguments: tuple[str, ...]) -> NoReturn:
    """Release, break and mend a copy of the site for a while, every night.

    \b
      cakravia regression --duration 1800
    Each round has good versions, a bad one, a fault, a load and a rollback. Figures are held against earlier nights
    (docs/FAILOVER.md). The live site is not touched.

    \b
    Exit status: 0 all was as it should be, 1 it was not, or a figure drifts, 10 inconclusive, 4 wrong use.
    """
    run_suites([REGRESSION.name], arguments, context=context)


def _fitting(names: Sequence[str], context: click.Context) -> list[str]:
    """Return the suites that fit the platform of the site."""
    settings = context.obj().settings
    return [name for name in names if name != "containers" or settings.site.platform == "docker"]


class RollbackGroup(click.Group):
    """`cakravia rollback` without a subcommand is the rollback itself; its options are those of the session."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        is_session = not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names)
        return super().parse_args(ctx, ["now", *args] if is_session else args)


@click.command(hidden=True, context_settings=_PASS_ON)
@_ARGUMENTS
@click.pass_context
def now(context: click.Context, arguments: tuple[str, ...]) -> NoReturn:
    """Roll back."""
    if "--now" in arguments:
        arguments = tuple(argument for argument in arguments if argument != "--now")
        if not _LISTING.intersection(arguments):
            roll_back_now(arguments, context=context)
    run_suites([ROLLBACK.name], arguments, context=context)


def roll_back_now(arguments: Sequence[str], *, context: click.Context) -> None:
    """Bring users back first, then become the session that proves their version. Returns if the target is not warm."""
    from cakravia_verify.runs.preparation import Request
    from cakravia_verify.runs.users_first import hand_over, leave, move_users, take_over

    open_site: Callable[..., Site] = context.obj
    site = open_site(file=_site_of(context, arguments), more=values_of("--set", arguments))
    request = Request(
        kind=ROLLBACK.name,
        version=_last([*values_of("--version", arguments), *values_of("--release", arguments)]),
        reason=_last(values_of("--reason", arguments)),
    )
    moved = move_users(request, site)
    if moved is None:
        click.echo("the target does not run, so it is started and proven before users go back")
        return
    if moved.release.failure is None:
        click.echo(f"users are back on {moved.release.facts.candidate}; the session now proves it")
    hand_over(moved)
    try:
        _become_session([ROLLBACK.name], arguments, context=context)
    finally:
        if left := take_over():
            leave(left)


def _last(values: Sequence[str]) -> str:
    return values[-1] if values else ""


def values_of(option: str, arguments: Sequence[str]) -> list[str]:
    """Return the values of an option, written as `--option value` or as `--option=value`."""
    found = []
    for number, argument in enumerate(arguments, 1):
        if argument == option and number < len(arguments):
            found.append(arguments[number])
        elif argument.startswith(f"{option}="):
            found.append(argument.partition("=")[2])
    return found


def run_suites(names: Sequence[str], arguments: Sequence[str], *, context: click.Context) -> NoReturn:
    """Become the pytest session over these suites. Its exit status is that of the command."""
    command = [sys.executable, "-P", "-c", _PROGRAM.format(name=f"cakravia {names[0]}")]
    command += _pytest_arguments(names, arguments, context=context)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(command[0], command)  # noqa: S606 - no shell


def _become_session(names: Sequence[str], arguments: Sequence[str], *, context: click.Context) -> NoReturn:
    """Run the pytest session over these suites in this process, and exit with its status."""
    if sys.path[0] in ("", str(Path.cwd())):  # a module of the project must not replace one of Python's
        del sys.path[0]
    sys.argv[:] = [f"cakravia {names[0]}", *_pytest_arguments(names, arguments, context=context)]
    # From here on this process is pytest's, as after the exec of the other commands.
    sys.exit(import_module("pytest").console_main())


def _pytest_arguments(names: Sequence[str], arguments: Sequence[str], *, context: click.Context) -> list[str]:
    folders = [folder for name in names for folder in folders_of(name, site=_site_of(context, arguments))]
    given = [*map(str, folders), "-c", str(SUITES / "pytest.ini"), "--rootdir", str(SUITES)]
    return [*given, "--confcutdir", str(folders[-1].parent), *_options_of(context), *_respelled(arguments)]


def folders_of(name: str, *, site: Path) -> list[Path]:
    """Return the folders of a suite: ours, and the project's own one beside cakravia.toml.

    A project's folder that has a copy of our tests replaces ours.
    """
    ours, own = SUITES / name, site.resolve().parent / "suites" / name
    if not own.is_dir() or own == ours:
        return [ours]
    return [own] if (own / f"test_{name}.py").is_file() else [ours, own]


def _version_first(arguments: Sequence[str]) -> tuple[str, Sequence[str]]:
    if not arguments:
        raise UsageError("which version?", remedy="write it, as in: cakravia deploy v1.2.0")
    if arguments[0].startswith("-"):
        raise UsageError(f"{arguments[0]} stands before the version", remedy="write: cakravia deploy v1.2.0 [options]")
    return arguments[0], arguments[1:]


def _site_of(context: click.Context, arguments: Sequence[str]) -> Path:
    """Return the settings file that the session will read: the last --site counts."""
    return Path([_main_options(context)["site_file"], *values_of("--site", arguments)][-1])


def _options_of(context: click.Context) -> list[str]:
    """Return the options of `cakravia` itself as options of the session."""
    given = _main_options(context)
    return ["--site", given["site_file"], *(word for pair in given["pairs"] for word in ("--set", pair))]


def _main_options(context: click.Context) -> dict[str, Any]:
    return context.find_root().params


def _respelled(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with `--version` as `--release`, since pytest has a flag of that name."""
    return [re.sub("^--version(?==|$)", "--release", argument) for argument in arguments]
