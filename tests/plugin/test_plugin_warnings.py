"""Whom a warning fails: our own tests, and no release of anybody."""

from __future__ import annotations

import tomllib
import warnings
from pathlib import Path

import pytest


def test_a_warning_fails_a_test_of_our_own() -> None:
    with pytest.raises(UserWarning, match="anything"):
        warnings.warn("anything", UserWarning, stacklevel=1)


def test_settings_that_releases_share_make_no_warning_an_error() -> None:
    """tests/sessions/test_session_surroundings.py holds the same of a whole release."""
    settings = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text())
    assert "filterwarnings" not in settings["tool"]["pytest"]["ini_options"]
