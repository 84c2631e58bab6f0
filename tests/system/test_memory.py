"""What is imported for nothing stays out, and only then."""

from __future__ import annotations

import importlib
import sys

import pytest

from cakravia_verify.system.memory import give_back_free_memory, left_out_of_imports

UNUSED = "wsgiref"


def test_package_that_is_left_out_is_found_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, UNUSED, raising=False)
    with left_out_of_imports(UNUSED), pytest.raises(ImportError):
        importlib.import_module(UNUSED)
    assert importlib.import_module(UNUSED).__name__ == UNUSED


def test_package_that_is_imported_already_stays() -> None:
    with left_out_of_imports("json"):
        assert importlib.import_module("json").loads("1") == 1


def test_giving_back_memory_harms_nothing() -> None:
    give_back_free_memory()
