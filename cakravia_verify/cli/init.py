"""`cakravia init`: look at a project, show the plan, ask, and write the files of a site."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cakravia_verify.errors import UsageError

if TYPE_CHECKING:
    from cakravia_verify.setup.findings import FoundProject
    from cakravia_verify.setup.initialise import Proposal
    from cakravia_verify.setup.plan import Answers
    from cakravia_verify.setup.project_files import PlannedFile


@click.command()
@click.option("--yes", is_flag=True, help="Ask nothing: take what the files say.")
@click.option("--replace", is_flag=True, help="Replace files that differ; the old ones are kept as *.before-init.")
@click.option("--platform", type=click.Choice(["process", "docker"]), help="Processes, or containers.")
@click.option("--service", default="", metavar="NAME", help="The service of the compose file that users reach.")
@click.option("--port", default=0, type=click.IntRange(0, 65_535), help="The port of the application in its container.")
@click.option("--host", default="", metavar="NAME", help="The name by which users ask, as in shop.example.com.")
@click.option("--health", default="", metavar="PATH", help="The path that says that the application is healthy.")
@click.option("--image", default="", metavar="NAME", help="Release an image, as in registry/shop:{version}.")
@click.option("--listen", default="", metavar="HOST:PORT", help="The address for users.")
@click.option("--name", default="", help="The name of the site.")
@click.option("--from-access-log", "log", type=click.Path(path_type=Path), help="Make the traffic mix from this log.")
@click.option("--with-posts", is_flag=True, help="With --from-access-log: take POST requests too.")
@click.option("--ci", type=click.Choice(["github", "gitlab", "forgejo"]), help="Write a pipeline too.")
@click.pass_context
def init(context: click.Context, /, yes: bool, replace: bool, **options: Any) -> None:
    """Set a project up for releases.

    \b
      cakravia init                                    shows what it found and asks
      cakravia init --yes                              asks nothing
      cakravia init --service web --host shop.example.com
      cakravia init --from-access-log /var/log/nginx/access.log
    It writes cakravia.toml, suites/ and lines of .gitignore. Nothing is overwritten: for a file that is there and
    differs, the difference is shown and you are asked.
    """
    from cakravia_verify.setup.initialise import choose_service, propose
    from cakravia_verify.setup.looking import look
    from cakravia_verify.setup.machine import machine_facts
    from cakravia_verify.setup.project_files import write_files

    is_asked = not yes and sys.stdin.isatty()
    if not is_asked and not yes:
        raise UsageError("there is no terminal to ask", remedy="take what the files say: cakravia init --yes")
    settings = Path(context.find_root().params["site_file"])
    folder = settings.parent
    found = look(folder)
    _show_findings(found, folder)
    answers = _answers(context, found, options, is_asked=is_asked)
    service = choose_service(found, answers, ask=_ask_service if is_asked else _refuse_several)
    proposal = propose(
        folder, settings, found=found, answers=answers, machine=machine_facts(settings), service=service,
        pipeline=options["ci"] or "",
    )  # fmt: skip
    _show_plan(proposal, folder)
    if not proposal.to_write:
        click.echo("Everything is there already; nothing was written.")
        return
    if not _may_write(proposal, is_asked=is_asked, replace=replace):
        return
    write_files(proposal.to_write)
    click.echo("\nWritten. Next:")
    for step in proposal.plan.steps:
        click.echo(f"  {step}")
    if options["ci"]:
        click.echo("  set the variables and the key of the pipeline: docs/PIPELINES.md")


def _answers(context: click.Context, found: FoundProject, options: dict[str, Any], *, is_asked: bool) -> Answers:
    from cakravia_verify.setup.access_log import mix_from_log
    from cakravia_verify.setup.plan import Answers

    methods = ("GET", "POST") if options["with_posts"] else ("GET",)
    host = options["host"]
    if is_asked and not host:
        known = found.proxy_file.host if found.proxy_file else ""
        host = click.prompt("By which name do users ask? (Enter: any)", default=known, show_default=bool(known))
    return Answers(
        platform=options["platform"] or "",
        **{key: options[key] for key in ("service", "port", "health", "image", "listen", "name")},
        host=host,
        mix=mix_from_log(options["log"], methods=methods) if options["log"] else (),
        settings=tuple(map(_setting, context.find_root().params["pairs"])),
    )


def _setting(pair: str) -> tuple[str, Any]:
    key, equals, value = pair.partition("=")
    if not equals or "." not in key:
        raise UsageError(f"--set {pair!r} has no value", remedy="write it as --set section.key=value")
    try:
        return key, tomllib.loads(f"value = {value}")["value"]
    except ValueError:
        return key, value


def _ask_service(names: tuple[str, ...]) -> str:
    answer: str = click.prompt("Which service do users reach?", type=click.Choice(names), default=names[0])
    return answer


def _refuse_several(names: tuple[str, ...]) -> str:
    raise UsageError(
        f"users may reach any of these services: {', '.join(names)}; nothing was written",
        remedy=f"name the one: cakravia init --yes --service {names[0]}",
    )


def _show_findings(found: FoundProject, folder: Path) -> None:
    click.secho(f"Found in {folder.resolve()}", bold=True)
    width = min(28, max((len(finding.file) for finding in found.findings), default=0))
    for finding in found.findings:
        click.echo(f"  {finding.file:<{width}}  {finding.what}")
    if not found.findings:
        click.echo("  nothing that says how an application runs")


def _show_plan(proposal: Proposal, folder: Path) -> None:
    click.secho(f"\nPlan: releases {'on Docker' if proposal.plan.platform == 'docker' else 'as processes'}", bold=True)
    for line in proposal.plan.lines:
        click.echo(f"  {line.section}.{line.key} = {line.value}  # {line.comment}")
    for table in proposal.plan.tables:
        what = table.values.get("path") or table.values.get("name") or ""
        click.echo(f"  {table.name}: {what}")
    for note in proposal.plan.notes:
        click.echo(f"  note: {note}")
    click.echo()
    inside = [file for file in proposal.files if folder / "suites" in file.path.parents]
    for file in proposal.files:
        if file not in inside:
            click.echo(f"  {file.path.name}: {_state_of(file)}")
    changed = [file for file in inside if not file.is_same]
    click.echo(f"  suites/: {len(inside)} files, {len(changed)} to write")


def _state_of(file: PlannedFile) -> str:
    if file.is_new:
        return "new"
    return "as planned already" if file.is_same else "there, and different" if file.replaces else "lines are added"


def _may_write(proposal: Proposal, *, is_asked: bool, replace: bool) -> bool:
    """Return whether the files may be written. Raises UsageError if one differs and no answer can be had."""
    for file in proposal.to_replace:
        click.echo(f"\n{file.difference()}")
    if proposal.to_replace and not replace:
        names = ", ".join(file.path.name for file in proposal.to_replace)
        if not is_asked:
            raise UsageError(
                f"there already and different: {names}; nothing was written",
                remedy="look at the differences above, then keep your file, or type: cakravia init --yes --replace",
            )
        return click.confirm(f"\nReplace {names}? The old ones are kept as *.before-init", default=False)
    return not is_asked or click.confirm("\nWrite these files?", default=True)
