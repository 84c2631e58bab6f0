"""Options and plugins under which a session cannot keep its order, its number of checks or its measurement."""

from __future__ import annotations

from typing import Final

import pytest

UNFIT_PLUGINS: Final = {"randomly": "-p no:randomly", "random_order": "-p no:random_order"}


def refuse_unfit(config: pytest.Config) -> None:
    """Raise pytest.UsageError if an option or a plugin would change the order or the number of the checks."""
    if getattr(config.option, "numprocesses", None) or getattr(config.option, "dist", "no") not in ("no", None):
        raise pytest.UsageError("a release has one order: run it without -n / --dist (pytest-xdist)")
    if getattr(config.option, "reruns", None):
        raise pytest.UsageError("a release is measured without retries: run it without --reruns")
    for name, remedy in UNFIT_PLUGINS.items():
        if config.pluginmanager.hasplugin(name):
            raise pytest.UsageError(f"a release has one order: run it with {remedy}")
    if config.pluginmanager.hasplugin("locust"):
        raise pytest.UsageError(
            "Locust's own pytest plugin patches the sockets of this process: run it with -p no:locust"
        )
    if not hasattr(config.option, "htmlpath"):
        raise pytest.UsageError("the report needs pytest-html: pip install pytest-html, and run without -p no:html")
    if config.getoption("usepdb", False):
        raise pytest.UsageError("a release does not stop in a debugger while users wait: run it without --pdb")
