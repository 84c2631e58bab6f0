"""The command `cakravia`: its options, its errors, and the list of its commands."""

from __future__ import annotations

import gc
import io
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from cakravia_verify import __version__
from cakravia_verify.command_options import options_remembered
from cakravia_verify.errors import CakraviaError, LockHeld, RollbackFailed, UsageError
from cakravia_verify.gate.model import Exit

if TYPE_CHECKING:
    from cakravia_verify.settings.models import Settings
    from cakravia_verify.site.site import Site


# Imports make many objects and no garbage. The collector's usual threshold costs a tenth of a command's start.
gc.set_threshold(50_000)

# The module in cakravia_verify/cli of each command. Only that of the command that was typed is imported.
_MODULES: Final = {
    "init": "init",
    "plan": "plan",
    "build": "build",
    "deploy": "sessions",
    "rollback": "rollback",
    "watch": "watch",
    "load": "sessions",
    "check": "sessions",
    "failover": "sessions",
    "regression": "sessions",
    "doctor": "doctor",
    "lint": "lint",
    "status": "site",
    "up": "site",
    "down": "site",
    "recover": "site",
    "maintenance": "admission",
    "hold": "admission",
    "supervise": "supervise",
    "install": "supervise",
    "logs": "site",
    "history": "history",
    "gate": "gate",
    "keys": "keys",
    "report": "report",
    "monitor": "monitor",
    "backup": "backup",
    "restore": "backup",
    "uninstall": "uninstall",
    "migrate": "migrate",
    "prune": "prune",
    "demo": "demo",
    "completion": "completion",
}


class Cakravia(click.Group):
    """The commands, imported when they are needed.

    An error of ours prints its text and sets the exit status, without a traceback.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _MODULES:
            return None
        command: click.Command = getattr(import_module(f"cakravia_verify.cli.{_MODULES[cmd_name]}"), cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        # People and applications write text that this terminal's encoding may lack. The history must stay readable.
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        try:
            return super().invoke(ctx)
        except CakraviaError as error:
            click.echo(f"cakravia: {error}", err=True)
            sys.exit(_exit_status(error))


def _exit_status(error: CakraviaError) -> int:
    if isinstance(error, UsageError):
        return Exit.USAGE_ERROR
    if isinstance(error, LockHeld):
        return Exit.LOCK_HELD
    if isinstance(error, RollbackFailed):
        return Exit.NEEDS_A_PERSON
    return 1


@click.group(cls=Cakravia, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--site",
    "site_file",
    default="cakravia.toml",
    metavar="FILE",
    show_default=True,
    help="The settings file of the site.",
)
@click.option("--set", "pairs", multiple=True, metavar="KEY=VALUE", help="Change a setting, as in slots.blue=3100.")
@click.version_option(__version__, prog_name="cakravia")
@click.pass_context
def main(context: click.Context, site_file: str, pairs: tuple[str, ...]) -> None:
    """Release a web application without losing a request, and operate its blue-green site.

    \b
    Releases, rollbacks and loads are pytest sessions. `pytest suites/deploy --version v1.2.0` runs the same session:
      cakravia deploy v1.2.0
      cakravia rollback --reason "why"
      cakravia load --duration 60
    """

    context.with_resource(options_remembered(site_file, pairs))

    def open_site(*, file: Path = Path(site_file), more: Sequence[str] = ()) -> Site:
        with _no_plugins_of_pydantic():
            from cakravia_verify.settings.loading import load_settings
        from cakravia_verify.site import assembly

        settings = load_settings(file, overrides=[_override(pair) for pair in (*pairs, *more)])
        _heal(settings)
        return assembly.open_site(settings)

    context.obj = open_site


@contextmanager
def _no_plugins_of_pydantic() -> Iterator[None]:
    """Keep pydantic from its search for plugins in every installed package: the models of our settings have none."""
    name = "PYDANTIC_DISABLE_PLUGINS"
    if name in os.environ:
        yield
        return
    os.environ[name] = "__all__"
    try:
        yield
    finally:
        del os.environ[name]


def _heal(settings: Settings) -> None:
    """Heal the faults that a killed session of `cakravia failover` left."""
    if not (settings.state / "faults").is_dir():
        return
    from cakravia_verify.faults.heal_journal import heal_left

    try:
        for line in heal_left(settings.state):
            click.echo(line, err=True)
    except CakraviaError as error:
        click.echo(f"cakravia: {error}", err=True)


def _override(pair: str) -> tuple[str, str]:
    key, equals, value = pair.partition("=")
    if not equals:
        raise UsageError(f"--set {pair!r} has no value", remedy="write it as --set section.key=value")
    return key, value
