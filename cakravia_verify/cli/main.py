"""The command `cakravia`: its options, its errors, and the list of its commands."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cakravia_verify import __version__
from cakravia_verify.cli.admission import hold, maintenance
from cakravia_verify.cli.backup import backup, restore
from cakravia_verify.cli.completion import completion
from cakravia_verify.cli.demo import demo
from cakravia_verify.cli.doctor import doctor
from cakravia_verify.cli.gate import gate
from cakravia_verify.cli.history import history
from cakravia_verify.cli.init import init
from cakravia_verify.cli.keys import keys
from cakravia_verify.cli.migrate import migrate
from cakravia_verify.cli.monitor import monitor
from cakravia_verify.cli.plan import plan
from cakravia_verify.cli.prune import prune
from cakravia_verify.cli.report import report
from cakravia_verify.cli.rollback import rollback
from cakravia_verify.cli.sessions import check, deploy, load
from cakravia_verify.cli.site import down, logs, recover, status, up
from cakravia_verify.cli.supervise import install, supervise
from cakravia_verify.cli.uninstall import uninstall
from cakravia_verify.cli.watch import watch
from cakravia_verify.command_options import options_remembered
from cakravia_verify.errors import CakraviaError, LockHeld, RollbackFailed, UsageError
from cakravia_verify.gate.model import Exit

if TYPE_CHECKING:
    from cakravia_verify.site.site import Site


class ErrorsAsText(click.Group):
    """A group of commands in which an error of ours prints its text and sets the exit status, without a traceback."""

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


@click.group(cls=ErrorsAsText, context_settings={"help_option_names": ["-h", "--help"]})
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

    def open_site() -> Site:
        from cakravia_verify.settings.loading import load_settings
        from cakravia_verify.site import assembly

        return assembly.open_site(load_settings(Path(site_file), overrides=[_override(pair) for pair in pairs]))

    context.obj = open_site


def _override(pair: str) -> tuple[str, str]:
    key, equals, value = pair.partition("=")
    if not equals:
        raise UsageError(f"--set {pair!r} has no value", remedy="write it as --set section.key=value")
    return key, value


for command in (
    init,
    plan,
    deploy,
    watch,
    rollback,
    load,
    check,
    doctor,
    status,
    up,
    down,
    recover,
    maintenance,
    hold,
    supervise,
    install,
    logs,
    history,
    gate,
    keys,
    report,
    monitor,
    backup,
    restore,
    uninstall,
    migrate,
    prune,
    demo,
    completion,
):
    main.add_command(command)
