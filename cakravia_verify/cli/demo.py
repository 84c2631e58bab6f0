"""`cakravia demo`: a small site in a temporary folder, a good release, a bad one, and the report."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from cakravia_verify.testing.throwaway_site import ThrowawaySite

_PACKAGE: Final = Path(__file__).resolve().parents[1]
# The example shop: inside the installed package, and beside it in a checkout.
SHOP: Final = next(filter(Path.is_dir, (_PACKAGE / "demo", _PACKAGE.parent / "examples" / "shop")), _PACKAGE / "demo")
MORE: Final = """
[slots]
blue = $blue
green = $green
[proxy]
listen = "127.0.0.1:$users"
[traffic]
users = 20
rate = 100.0
"""
RELEASES: Final = (
    ("v1.0.0", "The first version: the site has no users yet.", 0),
    ("v1.1.0", "A good version, while users send 100 requests per second.", 0),
    ("v1.2.0-flaky", "A bad version: it is healthy, but every 25th page is an error.", 1),
)
DIFFERENT: Final = 1


@click.command()
@click.option("--keep", is_flag=True, help="Leave the folder with the report; the site is stopped.")
def demo(keep: bool) -> None:
    """Show a release, and a bad release that is rolled back.

    \b
      cakravia demo
      cakravia demo --keep
    It runs in a temporary folder on free ports of this machine, without root and Docker, in less than two minutes.
    At the end everything is stopped and removed. It needs: pip install 'cakravia-verify[embedded]'.
    """
    from cakravia_verify.testing.throwaway_site import ThrowawaySite

    # Otherwise SIGTERM and SIGHUP would leave the site running.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    folder = Path(tempfile.mkdtemp(prefix="cakravia-demo-"))
    for name in ("shop.py", "cakravia.toml"):
        shutil.copy(SHOP / name, folder)
    site = ThrowawaySite(folder, (SHOP / "cakravia.toml").read_text(encoding="utf-8") + MORE)
    try:
        status = _release_all(site)
        _show_report(site.latest() / "report.html")
    finally:
        _end(site, keep=keep)
    sys.exit(status)


def _release_all(site: ThrowawaySite) -> int:
    """Release each version. Returns 0 if each one ended as it should."""
    for version, words, expected in RELEASES:
        click.secho(f"\n== {words}", bold=True)
        command = ["deploy", version, "--reason", words]
        click.echo(f"$ cakravia {command[0]} {version}\n")
        sys.stdout.flush()
        program = [sys.executable, "-P", "-m", "cakravia_verify.cli", *site.site, *command]
        status = subprocess.run(program, cwd=site.folder, check=False).returncode
        if status != expected:
            click.echo(f"cakravia demo: {version} ended with status {status} instead of {expected}", err=True)
            return DIFFERENT
    return 0


def _show_report(page: Path) -> None:
    """Open the report of the last release. Waits for Enter on a terminal, since the report is removed afterwards."""
    if not page.is_file():
        return
    click.echo(f"\nThe report: {page}")
    if sys.stdin.isatty() and sys.stdout.isatty():
        click.launch(str(page))
        click.prompt("Press Enter to stop the site and remove it", default="", show_default=False)


def _end(site: ThrowawaySite, *, keep: bool) -> None:
    if keep:
        site.cakravia("down")
        click.echo(f"Stopped. Everything is still in {site.folder}")
        return
    site.remove()
    click.echo("Stopped and removed.")
