"""The plan: survives its journey to the child, and refuses what cannot be meant."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cakravia_verify.errors import SettingsError
from cakravia_verify.traffic.plan.mix import MixEntry
from cakravia_verify.traffic.plan.plan import ARRIVALS, TrafficPlan
from cakravia_verify.traffic.plan.plan_json import read_plan
from cakravia_verify.traffic.plan.profiles import DEFAULT_MIX, GENERIC_MIX


def plan(**settings: object) -> TrafficPlan:
    given = {"url": "http://127.0.0.1:8080", "records": "rec", "run": "r1", "mix": DEFAULT_MIX, **settings}
    return TrafficPlan(**given)  # type: ignore[arg-type]


@given(
    users=st.integers(1, 20_000),
    rate=st.floats(0.1, 100_000),
    arrivals=st.sampled_from(ARRIVALS),
    seed=st.integers(),
    round_trip=st.floats(0, 0.9),
    mix=st.sampled_from([DEFAULT_MIX, GENERIC_MIX]),
)
def test_a_plan_survives_json(**settings: object) -> None:
    assert read_plan(plan(**settings).to_json()) == plan(**settings)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("url", "127.0.0.1:8080"),
        ("connect", "unix:"),
        ("connect", "127.0.0.1:http"),
        ("users", 0),
        ("rate", 0.0),
        ("rate", -1.0),
        ("arrivals", "bursty"),
        ("growth", 0.5),
        ("round_trip", -0.1),
        ("timeout", 0.0),
        ("run", "a b"),
        ("run", ""),
        ("mix", ()),
        ("records", ""),
        ("slot_header", "X Slot"),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_key(key: str, value: object) -> None:
    with pytest.raises(SettingsError, match=f"`{key}`"):
        plan(**{key: value})


def test_a_timeout_within_which_no_answer_can_arrive_is_refused() -> None:
    with pytest.raises(SettingsError, match="`timeout`"):
        plan(timeout=0.1, round_trip=0.05)


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"name": ""}, "mix.name"),
        ({"name": "x", "method": "FETCH"}, "mix.x.method"),
        ({"name": "x", "path": "page"}, "mix.x.path"),
        ({"name": "x", "path": "/a b"}, "mix.x.path"),
        ({"name": "x", "weight": 0.0}, "mix.x.weight"),
        ({"name": "x", "expected": ()}, "mix.x.expected"),
        ({"name": "x", "expected": (100,)}, "mix.x.expected"),
        ({"name": "x", "headers": (("A", "b\r\nC: d"),)}, "mix.x.headers"),
        ({"name": "x", "verify": "echo"}, "mix.x.verify"),
        ({"name": "x", "contains": "y", "headers": (("Accept-Encoding", "gzip"),)}, "mix.x.contains"),
    ],
)
def test_a_wrong_request_is_refused_by_the_name_of_its_key(settings: dict[str, object], key: str) -> None:
    with pytest.raises(SettingsError, match=f"`{key}`"):
        MixEntry(**settings)  # type: ignore[arg-type]


def test_two_requests_of_one_name_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"`mix\.name`"):
        plan(mix=(MixEntry("x"), MixEntry("x")))


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"userz": 3}, "userz"),
        ({"users": "3"}, "users"),
        ({"users": True}, "users"),
        ({"mix": 3}, "mix"),
        ({"mix": [{"name": "x", "wieght": 3}]}, r"mix\[0\]\.wieght"),
        ({"mix": [{"name": "x", "body": {"kind": "zip"}}]}, r"mix\.body\.kind"),
        ({"mix": [{"name": "x", "expected": ["200"]}]}, r"mix\[0\]\.expected"),
        ({"mix": [{"name": "x", "contains": 200}]}, r"mix\[0\]\.contains"),
        ({"mix": [{"name": "x", "headers": {"a": "b"}}]}, r"mix\[0\]\.headers"),
    ],
)
def test_a_wrong_plan_in_json_is_refused_by_the_name_of_its_key(change: dict[str, object], key: str) -> None:
    values = {**json.loads(plan().to_json()), **change}
    with pytest.raises(SettingsError, match=f"`{key}`"):
        read_plan(json.dumps(values))


@pytest.mark.parametrize("text", ["", "[]", "{}", "null"])
def test_what_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(SettingsError):
        read_plan(text)
