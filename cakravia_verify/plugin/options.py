"""The options that a release adds to pytest's command line."""

from __future__ import annotations

import argparse
import math
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

OVERRIDES = {
    "cakravia_bake": "release.bake",
    "cakravia_users": "traffic.users",
    "cakravia_rate": "traffic.rate",
    "cakravia_round_trip": "traffic.round_trip",
}
# Tables in an array, which --set replaces as a whole.
TABLES = ("hooks", "companions")
# Parts of pytest that every session needs: without one of them it would stop half-way, or leave no report.
PARTS = {
    "terminal": "pytest's terminal shows the progress",
    "junitxml": "the report holds junit.xml",
    "metadata": "the report is made with pytest-metadata",
}
_DIGEST = re.compile("sha256:[0-9a-f]{64}")
_SURROGATES = range(0xD800, 0xE000)
_RAW_BYTES = range(0xDC80, 0xDD00)


def add_options(parser: pytest.Parser) -> None:
    group = parser.getgroup("cakravia", "Cakravia Verify: releases that lose nothing")
    group.addoption(
        "--release", metavar="VERSION", default=None, help="the version to release; the same as --version VERSION"
    )
    group.addoption(
        "--reason", metavar="TEXT", type=readable, default="", help="the reason, for the history and the report"
    )
    group.addoption("--redeploy", action="store_true", help="release the version again although it is active")
    group.addoption(
        "--wait", metavar="SECONDS", type=finite, default=0.0, help="wait this long for another release to end"
    )
    group.addoption(
        "--site", metavar="FILE", default="cakravia.toml", help="the site's settings (default: %(default)s)"
    )
    group.addoption(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        dest="cakravia_set",
        help="a setting, as in release.bake=5",
    )
    group.addoption(
        "--accept-changes",
        metavar="NAME",
        action="append",
        default=[],
        help="a request of the mix whose answers change on purpose; may be repeated",
    )
    group.addoption(
        "--digest",
        metavar="SHA256",
        type=digest,
        default=None,
        help="release only this artifact of the version; it is not built again if it is kept (cakravia build)",
    )
    group.addoption(
        "--require-verdict",
        metavar="FILE",
        type=Path,
        default=None,
        help="release only the artifact that this verdict.intoto.json of another site promotes",
    )
    group.addoption(
        "--trust", metavar="KEY", type=Path, action="append", default=[], help="a public key that may have signed it"
    )
    group.addoption("--policy", metavar="SHA256", default="", help="the policy that its release must be held to")
    group.addoption("--max-age", metavar="DAYS", type=finite, default=30.0, help="its greatest age in days (30)")
    group.addoption(
        "--duration",
        metavar="SECONDS",
        type=float,
        default=None,
        help="seconds of a load (60), or of each fault that suites/failover tries (3)",
    )
    group.addoption(
        "--i-know-this-hurts",
        action="store_true",
        dest="cakravia_hurts",
        help="let a check take away what users of the live site need, as [contract] outage says",
    )
    group.addoption(
        "--fault",
        metavar="NAME",
        action="append",
        default=[],
        dest="cakravia_faults",
        help="a fault that suites/failover tries; may be given again (docs/FAILOVER.md)",
    )
    group.addoption(
        "--moment",
        metavar="NAME",
        action="append",
        default=[],
        dest="cakravia_moments",
        help="when it comes: steady, before, during or after a switch; may be given again",
    )
    for dest, key in OVERRIDES.items():
        option = "--" + dest.removeprefix("cakravia_").replace("_", "-")
        group.addoption(option, metavar="NUMBER", type=finite, default=None, dest=dest, help=f"overrides {key}")


def finite(text: str) -> float:
    """Return the finite number in `text`. Raises ArgumentTypeError, also for NaN and infinity."""
    try:
        number = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"invalid float value: {text!r}") from None
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number")
    return number


def digest(text: str) -> str:
    """Return the digest in `text`. Raises ArgumentTypeError if it is none."""
    if not _DIGEST.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no digest, such as sha256:9b0f... with 64 digits")
    return text


def readable(text: str) -> str:
    """Return `text` with undecodable bytes written out, as in caf\xe9.

    Reports, the history and terminals can then show it.
    """
    return "".join(
        f"\\x{code - 0xDC00:02x}" if code in _RAW_BYTES else f"\\u{code:04x}" if code in _SURROGATES else letter
        for letter, code in ((letter, ord(letter)) for letter in text)
    )


def refuse_without_asserts() -> None:
    """Raise pytest.UsageError if Python leaves asserts out: the checks of a suite are asserts."""
    if sys.flags.optimize:
        raise pytest.UsageError(
            "asserts are off (PYTHONOPTIMIZE or python -O), and the checks of a suite are asserts: "
            "run it without PYTHONOPTIMIZE and without -O"
        )


def refuse_without_parts(config: pytest.Config) -> None:
    """Raise pytest.UsageError if a part of pytest that every session needs is off, or --css names a missing file."""
    for name, why in PARTS.items():
        if not config.pluginmanager.hasplugin(name):
            raise pytest.UsageError(f"{why}: run it without -p no:{name}")
    for given in getattr(config.option, "css", None) or ():
        if not Path(os.path.expandvars(given)).expanduser().is_file():
            raise pytest.UsageError(f"--css {given}: there is no such file")


def overrides(config: pytest.Config) -> Sequence[tuple[str, Any]]:
    """Return (dotted key, value) for every setting on the command line; a later one wins.

    Raises pytest.UsageError, also if no session can run in this process.
    """
    refuse_without_asserts()
    refuse_without_parts(config)
    found: list[tuple[str, Any]] = []
    for dest, key in OVERRIDES.items():
        number = config.getoption(dest)
        if number is not None:
            found.append((key, int(number) if key == "traffic.users" and number == int(number) else number))
    for pair in config.getoption("cakravia_set"):
        key, equals, value = pair.partition("=")
        if not equals or ("." not in key and key.strip() not in TABLES):
            raise pytest.UsageError(f"--set {pair!r}: write it as section.key=value, as in --set release.bake=5")
        _refuse_contradiction(config, key.strip(), value.strip())
        found.append((key.strip(), value.strip()))
    return found


def _refuse_contradiction(config: pytest.Config, key: str, value: str) -> None:
    """Raise pytest.UsageError if an option of its own gives this setting another value than --set does."""
    for dest, name in OVERRIDES.items():
        number = config.getoption(dest)
        if name != key or number is None:
            continue
        option = "--" + dest.removeprefix("cakravia_").replace("_", "-")
        try:
            is_same = float(value) == number
        except ValueError:
            is_same = False
        if not is_same:
            raise pytest.UsageError(
                f"{option} {number:g} and --set {key}={value} contradict each other: keep one of them"
            )
