"""Lines of a command: folded between words on a terminal, whole in a pipe."""

from __future__ import annotations

import shutil
import sys

import click

from cakravia_verify.foreign_text import harmless


def echo_line(line: str, *, indent: int) -> None:
    """Print a line, harmless. Lines that follow a folded one begin with `indent` spaces."""
    text = harmless(line)
    if not sys.stdout.isatty():
        click.echo(text)
        return
    from cakravia_verify.report.text.live_screen import folded

    for part in folded(text, width=shutil.get_terminal_size().columns, indent=indent):
        click.echo(part)
