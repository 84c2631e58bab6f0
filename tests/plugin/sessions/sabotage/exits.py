"""A test that ends the whole process, and claims that all is well."""

from __future__ import annotations

import os
from typing import Any

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: Any) -> None:
    if "switchover" in item.name:
        os._exit(0)
