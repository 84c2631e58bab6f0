"""Sites to release on, and lanes to run many releases side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.plugin.sessions.lanes import Lanes, Scenario
from tests.plugin.sessions.shop import Shop
from tests.tiers import Machine


@pytest.fixture(scope="session")
def lanes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, machine: Machine
) -> Iterator[Lanes]:
    """Every selected scenario of this run, already under way; nothing is left running afterwards."""
    running = Lanes(tmp_path_factory.mktemp("lanes"), machine=machine)
    for item in request.session.items:
        scenario = getattr(getattr(item, "callspec", None), "params", {}).get("scenario")
        if isinstance(scenario, Scenario):
            running.submit([scenario])
    yield running
    left = running.close()
    assert left == []


@pytest.fixture
def new_shop(tmp_path: Path) -> Iterator[Callable[..., Shop]]:
    """Makes sites in folders of their own; nothing of them is left running."""
    shops: list[Shop] = []

    def make(**named: str) -> Shop:
        shops.append(Shop(tmp_path / f"shop-{len(shops)}", **named))
        return shops[-1]

    yield make
    left = [line for shop in shops for line in shop.tear_down()]
    assert left == []


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """One site for all tests of a module."""
    made = Shop(tmp_path_factory.mktemp("site"))
    yield made
    assert made.tear_down() == []
