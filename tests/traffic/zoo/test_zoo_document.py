"""docs/TRAFFIC.md promises something for every kind of traffic at every event, and names a test that holds it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.traffic.zoo import test_zoo_contracts as contracts
from tests.traffic.zoo.ground import BYSTANDERS, SHORT, STREAMS

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "TRAFFIC.md"
EVENTS = ("switch", "rollback", "drain", "failover")
JOURNEY = "journey"
KINDS = tuple(dict.fromkeys(JOURNEY if name.startswith(JOURNEY) else name for name in (*SHORT, *STREAMS, *BYSTANDERS)))
OTHERS = "all that are neither streams nor below"


def table(first: str) -> list[list[str]]:
    """The cells below the header that begins with these columns."""
    lines = DOCUMENT.read_text().splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith(f"| {first}")) + 2
    end = next(number for number in range(begin, len(lines)) if not lines[number].startswith("|"))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[begin:end]]


PROMISES = {row[0].partition(" (")[0]: row[1:] for row in table("kind | switch")}
PROOFS = table("kind | event")


def holding(kind: str, event: str) -> list[str]:
    """The tests that hold what is promised of a kind at an event."""
    group = OTHERS if kind not in (*STREAMS, *BYSTANDERS) else kind
    return [
        name.strip(" `")
        for kinds, events, names in PROOFS
        if event in events.split(", ") and (kinds == group or {group, kind} & set(kinds.split(", ")))
        for name in names.split(",")
    ]


def parameters(test: Any) -> set[str]:
    """Every text that the test is asked with."""
    marks = [mark for mark in getattr(test, "pytestmark", []) if mark.name == "parametrize"]
    values = [value if isinstance(value, tuple) else (value,) for mark in marks for value in mark.args[1]]
    return {each for value in values for each in value if isinstance(each, str)}


def test_the_document_promises_something_for_every_kind_and_nothing_else() -> None:
    assert set(PROMISES) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_promise_and_a_test_for_every_event(kind: str) -> None:
    assert len(PROMISES[kind]) == len(EVENTS)
    assert all(PROMISES[kind])
    names = [name for name in SHORT if name.startswith(JOURNEY)] if kind == JOURNEY else [kind]
    for event in EVENTS:
        held_by = [getattr(contracts, test) for test in holding(kind, event)]
        asked = set().union(*map(parameters, held_by))
        assert set(names) <= asked, f"no test asks for {kind} at {event}"


def test_every_test_that_the_document_names_is_there() -> None:
    named = {name.strip(" `") for _, _, names in PROOFS for name in names.split(",")}
    assert {name for name in named if not callable(getattr(contracts, name, None))} == set()
