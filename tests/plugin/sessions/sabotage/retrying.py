"""Has the option of pytest-rerunfailures, as a release session would find it where it is installed."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--reruns", type=int, default=0)
