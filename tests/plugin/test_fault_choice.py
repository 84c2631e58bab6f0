"""The command line chooses faults and moments."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from cakravia_verify.faults.catalogue import FAULTS
from cakravia_verify.faults.model import Moment
from cakravia_verify.plugin.fault_choice import chosen_cells

ALL = [fault.name for fault in FAULTS]


def chosen(*, faults: list[str] | None = None, moments: list[str] | None = None) -> list[str]:
    given = {"cakravia_faults": faults or [], "cakravia_moments": moments or []}
    config = cast("pytest.Config", SimpleNamespace(getoption=cast(Any, given).__getitem__))
    return [cell.name for cell in chosen_cells(config, names=ALL, moments=[*Moment])]


def test_without_a_choice_every_fault_comes_at_every_moment() -> None:
    assert len(chosen()) == len(ALL) * 4


def test_named_faults_and_moments_are_combined() -> None:
    names = chosen(faults=["slot-killed", "reload"], moments=["steady", "after"])
    assert names == ["slot-killed-steady", "slot-killed-after", "reload-steady", "reload-after"]


def test_faults_of_the_network_come_last() -> None:
    assert chosen(faults=["network-cut", "slot-killed"], moments=["steady"]) == [
        "slot-killed-steady",
        "network-cut-steady",
    ]


@pytest.mark.parametrize("named", [{"faults": ["slot-exploded"]}, {"moments": ["never"]}])
def test_an_unknown_name_is_refused_with_the_known_ones(named: dict[str, list[str]]) -> None:
    with pytest.raises(pytest.UsageError, match=r"slot-killed|steady"):
        chosen(**named)
