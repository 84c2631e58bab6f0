"""Options under which a session cannot keep its measurement or make its report."""

from __future__ import annotations

import pytest


def refuse_unfit(config: pytest.Config) -> None:
    """Raise pytest.UsageError if a session cannot run with these options."""
    if not hasattr(config.option, "htmlpath"):
        raise pytest.UsageError("the report needs pytest-html: pip install pytest-html, and run without -p no:html")
    if config.getoption("usepdb", False):
        raise pytest.UsageError("a release does not stop in a debugger while users wait: run it without --pdb")
