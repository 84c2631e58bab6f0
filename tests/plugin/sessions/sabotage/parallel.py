"""Has the options of pytest-xdist, as a release session would find them where it is installed."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    # Lower-case short options are pytest's own; xdist takes this one in the same way.
    parser.getgroup("parallel")._addoption("-n", "--numprocesses", dest="numprocesses", type=int, default=None)
