"""The plan reaches the child process unchanged."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cakravia_verify.traffic.client.http1 import RequestTemplate
from cakravia_verify.traffic.plan.mix import Body, MixEntry
from cakravia_verify.traffic.plan.plan import TrafficPlan
from cakravia_verify.traffic.plan.profiles import DEFAULT_MIX, GENERIC_MIX

JOURNEY = MixEntry(
    "order",
    "POST",
    "/api/orders",
    headers=(("Idempotency-Key", "{id}"),),
    body=Body("order"),
    steps=(MixEntry("look", path="/api/orders/{journey}", pause=0.5, expected=(200, 404)),),
)


@given(
    users=st.integers(1, 20_000),
    rate=st.floats(0.1, 100_000),
    arrivals=st.sampled_from(["constant", "poisson"]),
    seed=st.integers(),
    round_trip=st.floats(0, 0.9),
    mix=st.sampled_from([DEFAULT_MIX, GENERIC_MIX, (JOURNEY,)]),
    curve=st.sampled_from([(), ((0.0, 50.0), (60.0, 500.0))]),
)
def test_a_plan_survives_json(**settings: object) -> None:
    plan = TrafficPlan(url="http://127.0.0.1:8080", records="rec", run="r1", **settings)  # type: ignore[arg-type]
    assert TrafficPlan.from_json(plan.to_json()) == plan


@pytest.mark.parametrize("module", ["pydantic", "duckdb"])
def test_the_traffic_process_does_not_import_what_it_does_not_need(module: str) -> None:
    # What the locustfile imports of this package, without Locust, which patches the process.
    imports = "from cakravia_verify.traffic.generator import generator; from cakravia_verify.traffic import process"
    program = f"import sys; {imports}; sys.exit({module!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_share_of_the_requests_has_an_ordinary_user_agent() -> None:
    template = RequestTemplate(MixEntry("page"), host="site", request_id_header="X-Request-ID", seed=1)
    heads = [template.render(b"run-%d" % number, number)[0] for number in range(8)]
    assert [b"cakravia" in head for head in heads] == [False, True, True, True] * 2
    assert {head.count(b"User-Agent: ") for head in heads} == {1}
    own = MixEntry("page", headers=(("User-Agent", "mine"),))
    template = RequestTemplate(own, host="site", request_id_header="X-Request-ID", seed=1)
    assert {template.render(b"run-%d" % number, number)[0].count(b"User-Agent: mine\r\n") for number in range(8)} == {1}
