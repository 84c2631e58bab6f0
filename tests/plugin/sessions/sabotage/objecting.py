"""An operator's own gate that says no."""

from __future__ import annotations


def pytest_cakravia_gate() -> str:
    return "not on a Friday"
