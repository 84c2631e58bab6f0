"""Other plugins of the environment: which of them stay out of a session over a suite of ours, and why.

A plugin that stays out is loaded, so pytest knows its options and its settings in the project's files. It is
blocked at once, before any other hook of it is called.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pytest

from cakravia_verify.errors import UsageError


@dataclass(frozen=True)
class Neighbour:
    """A plugin that stays out of a session.

    names: its names in pytest. why: what it would do to a session. options: the names of its options in pytest's
    namespace, and how each is written on the command line.
    """

    names: tuple[str, ...]
    why: str
    options: tuple[tuple[str, str], ...] = ()


ORDER: Final = "a release has one order"
STAY_OUT: Final = (
    Neighbour(
        ("xdist", "xdist.looponfail"),
        ORDER,
        (("numprocesses", "-n"), ("dist", "--dist"), ("tx", "--tx"), ("distload", "-d"), ("looponfail", "-f")),
    ),
    Neighbour(("randomly",), ORDER, (("randomly_seed", "--randomly-seed"),)),
    Neighbour(
        ("random_order",),
        ORDER,
        (("random_order_enabled", "--random-order"),),
    ),
    Neighbour(("rerunfailures", "flaky"), "a release is measured without retries", (("reruns", "--reruns"),)),
    Neighbour(("timeout",), "a release has time limits of its own", (("timeout", "--timeout"),)),
    Neighbour(("pytest_cov",), "a release does not measure the coverage of code", (("cov_source", "--cov"),)),
    Neighbour(("django",), "a release uses no database of tests", (("ds", "--ds"), ("dc", "--dc"))),
    Neighbour(("locust",), "the traffic runs in a process of its own"),
    Neighbour(("socket",), "a release needs the network", (("disable_socket", "--disable-socket"),)),
)
_NAMES: Final = frozenset(name for neighbour in STAY_OUT for name in neighbour.names)


class StayOut:
    """Unregisters the plugins that stay out, in whatever order pytest loads plugins."""

    def pytest_plugin_registered(self, plugin_name: str, manager: pytest.PytestPluginManager) -> None:
        if plugin_name in _NAMES and manager.has_plugin(plugin_name):
            # Not only unregistered: pytest would load it again after -p, and its options would be there twice.
            manager.set_blocked(plugin_name)


def refuse_asked(parser: pytest.Parser, arguments: Sequence[str]) -> None:
    """Raise UsageError if the command line asks for a plugin that stays out. Other sources may: they ask all runs."""
    asked, defaults = parser.parse_known_args(list(arguments)), parser.parse_known_args([])
    for neighbour in STAY_OUT:
        given = [f"-p {name}" for name in neighbour.names if name in (asked.plugins or ())]
        for dest, option in neighbour.options:
            value = getattr(asked, dest, None)
            given += [option] if value and value != getattr(defaults, dest) else []
        if given:
            raise UsageError(f"{neighbour.why}: {given[0]} cannot be used", remedy=f"run it without {given[0]}")
