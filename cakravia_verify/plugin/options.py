"""The options that a release adds to pytest's command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

OVERRIDES = {
    "cakravia_bake": "release.bake",
    "cakravia_users": "traffic.users",
    "cakravia_rate": "traffic.rate",
    "cakravia_round_trip": "traffic.round_trip",
}


def add_options(parser: pytest.Parser) -> None:
    group = parser.getgroup("cakravia", "Cakravia Verify: releases that lose nothing")
    group.addoption(
        "--release", metavar="VERSION", default=None, help="the version to release; --version VERSION says the same"
    )
    group.addoption("--reason", metavar="TEXT", default="", help="why, for the history and the report")
    group.addoption("--redeploy", action="store_true", help="release the version even though it is active already")
    group.addoption(
        "--wait", metavar="SECONDS", type=float, default=0.0, help="wait this long for another release to end"
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
        "--duration", metavar="SECONDS", type=float, default=None, help="how long suites/load loads the site (60)"
    )
    for dest, key in OVERRIDES.items():
        option = "--" + dest.removeprefix("cakravia_").replace("_", "-")
        group.addoption(option, metavar="NUMBER", type=float, default=None, dest=dest, help=f"overrides {key}")


def overrides(config: pytest.Config) -> Sequence[tuple[str, Any]]:
    """(dotted key, value) for every setting given on the command line, the later one winning."""
    found: list[tuple[str, Any]] = []
    for dest, key in OVERRIDES.items():
        number = config.getoption(dest)
        if number is not None:
            found.append((key, int(number) if key == "traffic.users" and number == int(number) else number))
    for pair in config.getoption("cakravia_set"):
        key, equals, value = pair.partition("=")
        if not equals or "." not in key:
            raise pytest.UsageError(f"--set {pair!r}: write it as section.key=value, as in --set release.bake=5")
        found.append((key.strip(), value.strip()))
    return found
