"""[traffic] of cakravia.toml: what it says is what is sent, and what would be ignored is refused by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cakravia_verify.errors import SettingsError
from cakravia_verify.settings.loading import load_settings
from cakravia_verify.slots import Address
from cakravia_verify.traffic.plan.from_settings import plan_of

if TYPE_CHECKING:
    from pathlib import Path

    from cakravia_verify.traffic.plan.plan import TrafficPlan

CURVE = "[[traffic.curve]]\nat = 0.0\nrate = 50.0\n[[traffic.curve]]\nat = 60.0\nrate = 500.0\n"
HEADERS = {"slot": "X-Slot", "version": "X-Version", "served": "X-Served"}


def planned(folder: Path, text: str, *overrides: tuple[str, Any]) -> TrafficPlan:
    (folder / "cakravia.toml").write_text(text)
    settings = load_settings(folder / "cakravia.toml", environment={}, overrides=overrides)
    address = Address("127.0.0.1", 8080)
    return plan_of(settings.traffic, address=address, folder=folder, run="r", headers=HEADERS, root=folder)


def mix(text: str) -> str:
    return f'[traffic]\nprofile = "custom"\n[[traffic.mix]]\n{text}\n'


@pytest.mark.parametrize("overrides", [[("traffic.rate", 500.0)], []])
def test_a_rate_beside_a_curve_is_refused_wherever_it_comes_from(
    tmp_path: Path, overrides: list[tuple[str, Any]]
) -> None:
    text = CURVE if overrides else f"[traffic]\nrate = 500.0\n{CURVE}"
    with pytest.raises(SettingsError, match=r"rate = 500 .*would not count"):
        planned(tmp_path, text, *overrides)


def test_a_curve_may_be_put_aside_for_a_rate(tmp_path: Path) -> None:
    plan = planned(tmp_path, CURVE, ("traffic.curve", "[]"), ("traffic.rate", 500.0))
    assert (plan.curve, plan.rate) == ((), 500.0)


def test_a_curve_alone_is_the_rate(tmp_path: Path) -> None:
    assert planned(tmp_path, CURVE).curve == ((0.0, 50.0), (60.0, 500.0))


def test_users_of_a_locustfile_that_is_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="locustfile_users = 3 make nothing"):
        planned(tmp_path, "[traffic]\nlocustfile_users = 3\n")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("pause = 0.5", "pause"),
        ("every = 0.5", "every"),
        ('stream = "events"\ntimeout = 5.0\nevery = 0.5', "every"),
        ('stream = "websocket"\ntimeout = 5.0\nexpect = [200]', "expect"),
        ('stream = "websocket"\ntimeout = 5.0\nverify = "X-Content-SHA256"', "verify"),
        ('stream = "events"\ntimeout = 5.0\nverify = "X-Content-SHA256"', "verify"),
        ('verify = "sequence"', "verify"),
        ('method = "HEAD"\nverify = "X-Content-SHA256"', "verify"),
        ('method = "HEAD"\ncontains = "shop"', "contains"),
        ('stream = "events"\ntimeout = 5.0\ncontains = "shop"', "contains"),
        ('steps = [{ path = "/b", weight = 2.0 }]', "weight"),
        ('method = "POST"\nbody = { kind = "random", size = 10, text = "x" }', "body.text"),
        ('method = "POST"\nbody = { kind = "order", size = 10 }', "body.size"),
        ("body = { chunked = true }", "body.chunked"),
    ],
)
def test_a_key_that_would_do_nothing_is_refused_by_its_name(tmp_path: Path, text: str, key: str) -> None:
    with pytest.raises(SettingsError, match=rf"number 1.*'{key}' would do nothing"):
        planned(tmp_path, mix(text))


@pytest.mark.parametrize("told", ["200", "true", '["shop"]'])
def test_what_a_page_contains_is_a_text(tmp_path: Path, told: str) -> None:
    with pytest.raises(SettingsError, match=r"number 1: 'contains' is .*, not a text"):
        planned(tmp_path, mix(f"contains = {told}"))


def test_keys_that_do_something_are_taken(tmp_path: Path) -> None:
    talk = 'path = "/ws"\nstream = "websocket"\ntimeout = 5.0\nevery = 0.5\nweight = 2.0'
    news = '[[traffic.mix]]\npath = "/events"\nstream = "events"\ntimeout = 5.0\nverify = "sequence"'
    order = '[[traffic.mix]]\nmethod = "POST"\nbody = { kind = "random", size = 9, chunked = true }\nverify = "echo"'
    steps = 'contains = "hi"\nsteps = [{ path = "/b", pause = 0.5, expect = [404], contains = "shop" }]'
    plan = planned(tmp_path, mix("\n".join((talk, news, order, steps))))
    assert [entry.name for entry in plan.mix] == ["GET /ws", "GET /events", "POST /"]
    assert (plan.mix[2].contains, plan.mix[2].steps[0].contains) == ("hi", "shop")
    assert plan.mix[2].steps[0].pause == 0.5
