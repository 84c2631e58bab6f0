"""Lanes on which releases die, and sites for single cases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.plugin.sessions.shop import Shop
from tests.recovery.matrix.cells import Cell, Lane, Lanes
from tests.tiers import Machine


@pytest.fixture(scope="session")
def lanes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, machine: Machine
) -> Iterator[Lanes]:
    """Every selected cell of this run, already under way; nothing is left running afterwards."""
    running = Lanes(tmp_path_factory.mktemp("dying"), machine=machine)
    cells = [getattr(item, "callspec", None) for item in request.session.items]
    found = [spec.params["cell"] for spec in cells if spec and isinstance(spec.params.get("cell"), Cell)]
    running.submit(dict.fromkeys(found))
    yield running
    assert running.close() == []


@pytest.fixture(scope="module")
def lane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lane]:
    """One site with two versions and users on it, for all tests of a module."""
    made = Lane(tmp_path_factory.mktemp("lane"))
    yield made
    assert made.close() == []


@pytest.fixture
def new_shop(tmp_path: Path) -> Iterator[Callable[..., Shop]]:
    """Makes sites in folders of their own; nothing of them is left running."""
    shops: list[Shop] = []

    def make(**named: str) -> Shop:
        shops.append(Shop(tmp_path / f"shop-{len(shops)}", **named))
        return shops[-1]

    yield make
    assert [line for shop in shops for line in shop.tear_down()] == []
