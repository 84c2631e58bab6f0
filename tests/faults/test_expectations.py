"""Each fault has expectations, and docs/FAILOVER.md has the same table."""

from __future__ import annotations

import re

import pytest

from cakravia_verify.errors import UsageError
from cakravia_verify.faults.catalogue import FAULTS, fault_named
from cakravia_verify.faults.expectations import AT_ONCE, EXPECTATIONS, RequestKind, expectation_of
from cakravia_verify.faults.model import Moment
from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "FAILOVER.md").read_text(encoding="utf-8")
STEADY = 0


def cell_text(fault: str, number: int) -> str:
    expectation = EXPECTATIONS[fault][number]
    return expectation.loss_in_words if number == STEADY else f"{expectation.loss_in_words}; {expectation.end_in_words}"


def test_every_fault_has_expectations_and_there_are_at_least_22() -> None:
    assert [*EXPECTATIONS] == [fault.name for fault in FAULTS]
    assert len(FAULTS) >= 22


def test_the_page_has_the_table() -> None:
    table = PAGE.partition("## What is expected")[2].partition("Not tried here")[0]
    rows = re.findall(r"^\| `([a-z0-9-]+)` \| (.+) \|$", table, re.MULTILINE)
    texts = {fault.name: (fault.title, *(cell_text(fault.name, number) for number in range(4))) for fault in FAULTS}
    assert {name: tuple(rest.split(" | ")) for name, rest in rows} == texts


def test_a_killed_slot_costs_only_requests_in_flight_if_another_one_is_warm() -> None:
    expectation = expectation_of("slot-killed", Moment.STEADY)
    assert (expectation.back, AT_ONCE) == (0.25, 0.25)
    assert expectation.loses == frozenset(RequestKind)


def test_an_unknown_fault_is_refused_with_the_names_of_all() -> None:
    with pytest.raises(UsageError, match="slot-killed"):
        fault_named("slot-exploded")
