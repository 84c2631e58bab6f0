"""`cakravia lint`: what in a configuration of nginx loses, doubles or hides requests in a release."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from cakravia_verify.errors import UsageError

if TYPE_CHECKING:
    from cakravia_verify.proxy.lint.model import LintFinding

BAD: Final = 1


@click.command()
@click.argument("file", metavar="FILE|-")
@click.option("--format", "form", type=click.Choice(["text", "json", "sarif"]), default="text", show_default=True)
@click.option(
    "--app-idle", default="5s", show_default=True, metavar="TIME", help="The application closes idle connections."
)
@click.option("--grace", default="", metavar="TIME", help="What a slot gets to finish its requests.")
@click.option("--largest-body", default="", metavar="SIZE", help="The largest request body of the application, as 20m.")
@click.option("--nginx", default="", metavar="VERSION", help="nginx's version, as 1.26.3. Unknown: the oldest in use.")
def lint(file: str, *, form: str, app_idle: str, grace: str, largest_body: str, nginx: str) -> None:
    """Find what in a configuration of nginx loses, doubles or hides requests in a release.

    \b
      cakravia lint /etc/nginx/nginx.conf
      nginx -T | cakravia lint -

    FILE is nginx.conf, a file of it, or the output of `nginx -T`; - reads standard input. docs/LINT.md lists the rules.
    The findings of gixy-next are shown beside them if `gixy` is installed.

    Exit status: 0 nothing was found, 1 a rule is broken, 4 wrong use.
    """
    from cakravia_verify.foreign_text import harmless
    from cakravia_verify.proxy.lint.gixy import gixy_findings, gixy_program
    from cakravia_verify.proxy.lint.linting import lint as findings_in
    from cakravia_verify.proxy.lint.model import LintFacts
    from cakravia_verify.proxy.lint.parsing import parse_file, parse_text
    from cakravia_verify.proxy.lint.reports import as_json, as_sarif, text_lines
    from cakravia_verify.proxy.lint.values import bytes_of, seconds_of

    idle = _measure("--app-idle", app_idle, read=seconds_of)
    facts = LintFacts(
        app_idle=5.0 if idle is None else idle,
        grace=_measure("--grace", grace, read=seconds_of),
        largest_body=_measure("--largest-body", largest_body, read=bytes_of),
        nginx=_version(nginx),
    )
    text = _standard_input() if file == "-" else ""
    tree = parse_text(text) if file == "-" else parse_file(Path(file))
    findings: list[LintFinding] = findings_in(tree, facts)
    if program := gixy_program():
        findings += gixy_findings(program, file, text=text)
    if form == "text":
        for line in text_lines(findings, tree.unread):
            click.echo(harmless(line))
    else:
        click.echo(json.dumps(as_json(findings, tree.unread) if form == "json" else as_sarif(findings), indent=2))
    if any(each.counts for each in findings):
        sys.exit(BAD)


def _standard_input() -> str:
    return sys.stdin.buffer.read().decode("utf-8", errors="replace")


def _measure(option: str, text: str, *, read: Any) -> Any:
    """Return the value of an option, None if it was not given. Raises UsageError."""
    if not text:
        return None
    value = read(text)
    if value is None:
        raise UsageError(
            f"{option} {text!r} is no value of nginx", remedy="write it as nginx does, as 500ms, 30s or 20m"
        )
    return value


def _version(text: str) -> tuple[int, ...] | None:
    if not text:
        return None
    if not re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", text):
        raise UsageError(f"--nginx {text!r} is no version", remedy="write it as nginx -v prints it, as 1.26.3")
    return tuple(int(part) for part in text.split("."))
