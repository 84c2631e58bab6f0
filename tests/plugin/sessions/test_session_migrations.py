"""Migrations on a real Postgres, under the traffic of the version that users are on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from tests.plugin.sessions.shop import Shop
from tests.postgres import postgres

SOURCE = Path(__file__).parent / "orders_on_postgres"
BREAKS = "this migration breaks the version your users are on"
MORE = """
[contract]
health = "/health"
ready = ""
live = ""
status = ""
[[traffic.mix]]
name = "show"
path = "/orders"
weight = 3
[[traffic.mix]]
name = "add"
method = "POST"
path = "/orders"
weight = 1
"""


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with postgres() as url:
        yield url


class Orders:
    """A site with the orders, whose users are on v1."""

    def __init__(self, shop: Shop, database: str) -> None:
        self.shop, self.database = shop, database
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("DROP TABLE IF EXISTS orders")
        text = shop.settings.read_text().partition("[[traffic.mix]]")[0]
        text = text.replace('"-m", "reference_app"]', '"orders.py"]').replace('directory = ".."\n', "")
        text = text.replace(text.partition('source = "')[2].partition('"')[0], str(SOURCE))
        text = text.replace("[app]\n", f'[app]\nenvironment = {{ DATABASE_URL = "{database}" }}\n')
        text = text.replace('contains = "Cakravia"', "").replace('path = "/", ', 'path = "/orders"')
        text = text.replace("timeout = 2.0\nprofile", "timeout = 10.0\nprofile")
        self.text = text + MORE
        assert self.release("v1", "create") == 0, self.output

    def release(self, version: str, migration: str) -> int:
        command = f'["{{python}}", "migrate.py", "{migration}"]'
        hook = f'[[hooks]]\nat = "before-stage"\nkind = "migration"\ncommand = {command}\n'
        self.shop.settings.write_text(f"{self.text}\n{hook}")
        ended = self.shop.deploy(version)
        self.output = ended.output
        return ended.status

    @property
    def columns(self) -> set[str]:
        question = "SELECT column_name FROM information_schema.columns WHERE table_name = 'orders'"
        with psycopg.connect(self.database) as connection:
            return {str(row[0]) for row in connection.execute(question)}


@pytest.fixture
def orders(new_shop: Callable[..., Shop], database: str) -> Orders:
    return Orders(new_shop(), database)


@pytest.mark.slow
def test_expand_and_contract_moves_a_column_without_a_lost_request(orders: Orders) -> None:
    for version, migration in (("v2", "expand"), ("v3", "expand"), ("v3-without-note", "contract")):
        assert orders.release(version, migration) == 0, orders.output
        measured = orders.shop.verdict()["evidence"]["measured"]
        assert (measured["lost"], measured["errors"]) == (0, 0)
    assert orders.columns == {"id", "comment"}
    preview = orders.shop.cakravia("rollback", "validate").output
    assert "of v3-without-note ran on" in preview
    assert "is not undone" in preview


def test_a_migration_that_drops_a_column_of_the_active_version_stops_the_release(orders: Orders) -> None:
    assert orders.release("v2", "contract") == 1, orders.output
    assert BREAKS in orders.output
    assert orders.columns == {"id"}
    state = orders.shop.observe()
    assert state.active
    assert state.active.version == "v1"
    assert state.slots.idle is None
    assert [e["event"] for e in orders.shop.history() if e.get("kind") == "migration"][-1] == "hook.failed"


@pytest.mark.slow
def test_a_migration_that_holds_a_long_lock_stops_the_release(orders: Orders) -> None:
    assert orders.release("v2", "lock") == 1, orders.output
    assert BREAKS in orders.output
    assert orders.shop.answer("/orders")[2] == "v1"
    assert not orders.shop.verdict()["switch"]["at"]
