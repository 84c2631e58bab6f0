"""Every seeded bad release does what its name says, and nothing else."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.examples.conftest import SlotProcess


def _readiness(slot: SlotProcess) -> int:
    return slot.client.get("/api/health/ready").status_code


def test_never_ready_stays_unready_but_alive(serve: Callable[..., SlotProcess]) -> None:
    slot = serve(MISBEHAVE="never-ready").listen()
    slot.wait_for("the store answers", lambda: slot.client.get("/api/health").status_code == 200)
    assert [_readiness(slot) for _ in range(3)] == [503, 503, 503]
    assert slot.client.get("/api/health/live").status_code == 200
    assert slot.client.get("/api/deployment/status").json()["deployment"]["status"] == "deploying"


def test_late_ready_becomes_ready(serve: Callable[..., SlotProcess]) -> None:
    slot = serve(MISBEHAVE="late-ready:0.5").listen()
    assert _readiness(slot) == 503
    slot.ready()


def test_wrong_version_is_in_payload_and_headers(serve: Callable[..., SlotProcess]) -> None:
    answer = serve(MISBEHAVE="wrong-version:v0.0.0").ready().client.get("/api/health")
    assert answer.json()["version"] == "v0.0.0"
    assert answer.headers["x-deployment-version"] == "v0.0.0"


def test_wrong_slot_is_in_payload_and_headers(serve: Callable[..., SlotProcess]) -> None:
    answer = serve(MISBEHAVE="wrong-slot").ready().client.get("/api/deployment/status")
    assert answer.json()["deployment"]["slot"] == "green"
    assert answer.headers["x-deployment-slot"] == "green"


def test_errors_meet_users_at_their_rate_and_no_probe(serve: Callable[..., SlotProcess]) -> None:
    slot = serve(MISBEHAVE="errors:0.5").ready()
    statuses = {slot.client.get("/").status_code for _ in range(200)}
    assert statuses == {200, 500}
    assert {_readiness(slot) for _ in range(20)} == {200}


def test_an_error_names_slot_and_version(serve: Callable[..., SlotProcess]) -> None:
    answer = serve(MISBEHAVE="errors:1").ready().client.get("/")
    assert answer.status_code == 500
    assert answer.headers["x-deployment-slot"] == "blue"
    assert answer.headers["x-deployment-version"] == "v1.2.0"


def test_slow_delays_users(serve: Callable[..., SlotProcess]) -> None:
    slot = serve(MISBEHAVE="slow:0.3").ready()
    assert slot.client.get("/").elapsed.total_seconds() >= 0.3


def test_leak_keeps_memory_for_every_request(serve: Callable[..., SlotProcess]) -> None:
    slot = serve(MISBEHAVE="leak:4194304").ready()
    before = slot.client.get("/api/health").json()["system"]["memory"]["used"]
    for _ in range(20):
        slot.client.get("/")
    after = slot.client.get("/api/health").json()["system"]["memory"]["used"]
    assert after - before > 60 * 1024**2


def test_a_leak_makes_the_slot_unhealthy_in_the_end(serve: Callable[..., SlotProcess]) -> None:
    slot = serve(MISBEHAVE="leak:8388608", MEMORY_LIMIT="256m").ready()
    for _ in range(32):
        slot.client.get("/")
    assert slot.client.get("/api/health").status_code == 503


def test_crash_after_dies_with_the_next_user_request(serve: Callable[..., SlotProcess]) -> None:
    slot = serve(MISBEHAVE="crash-after:3").ready()
    assert [slot.client.get("/").status_code for _ in range(3)] == [200, 200, 200]
    with pytest.raises(httpx.TransportError):
        slot.client.get("/")
    assert slot.exit_status() == 70


def test_lying_health_praises_itself_while_users_fail(serve: Callable[..., SlotProcess]) -> None:
    slot = serve(MISBEHAVE="lying-health", MEMORY_LIMIT="16m").listen()
    answer = slot.client.get("/api/health")
    assert (answer.status_code, answer.json()["status"]) == (200, "healthy")
    assert slot.client.get("/api/deployment/status").status_code == 200
    assert slot.client.get("/").status_code == 500


def test_no_start_does_not_start(serve: Callable[..., SlotProcess]) -> None:
    slot = serve(MISBEHAVE="no-start")
    assert slot.exit_status() == 1
    assert "does not start" in slot.output


def test_ignore_sigterm_goes_on_serving(serve: Callable[..., SlotProcess]) -> None:
    slot = serve(MISBEHAVE="ignore-sigterm").ready()
    slot.send(signal.SIGTERM)
    assert slot.client.get("/").status_code == 200
    assert not slot.application()["draining"]


def test_flap_alternates_its_first_readings(serve: Callable[..., SlotProcess]) -> None:
    slot = serve(MISBEHAVE="flap:4").listen()
    slot.wait_for(
        "it is warm", lambda: slot.client.get("/api/deployment/status").json()["deployment"]["status"] == "inactive"
    )
    assert [_readiness(slot) for _ in range(6)] == [200, 503, 200, 503, 200, 200]


def test_double_orders_executes_a_repetition(serve: Callable[..., SlotProcess]) -> None:
    slot = serve(MISBEHAVE="double-orders").ready()
    for _ in range(2):
        answer = slot.client.post("/api/orders", json={}, headers={"Idempotency-Key": "k"})
    assert answer.json()["executions"] == 2
    assert slot.client.get("/api/orders").json()["executed_more_than_once"] == ["k"]


def test_corrupt_changes_the_body_and_not_the_checksum(serve: Callable[..., SlotProcess], slot: SlotProcess) -> None:
    good, bad = slot.client.get("/static/site.css"), serve(MISBEHAVE="corrupt:1").ready().client.get("/static/site.css")
    assert bad.headers["x-content-sha256"] == good.headers["x-content-sha256"]
    assert bad.content != good.content


def test_a_version_chooses_its_own_misbehaviour(serve: Callable[..., SlotProcess]) -> None:
    slot = serve(MISBEHAVE="no-start", MISBEHAVE_v1_3_0="wrong-slot,slow:0.01", APP_VERSION="v1.3.0").ready()
    assert slot.client.get("/").headers["x-deployment-slot"] == "green"


def test_a_version_may_behave_where_others_do_not(serve: Callable[..., SlotProcess]) -> None:
    assert serve(MISBEHAVE="no-start", MISBEHAVE_v1_2_0="").ready().client.get("/").status_code == 200


@pytest.mark.parametrize("wrong", ["eat-cookies", "errors", "errors:2", "errors:many", "no-start:1", "slow:1,slow:2"])
def test_an_unknown_misbehaviour_is_refused(serve: Callable[..., SlotProcess], wrong: str) -> None:
    slot = serve(MISBEHAVE=wrong)
    assert slot.exit_status() == 2
    assert slot.output.startswith("reference_app: MISBEHAVE:")


def test_the_documentation_has_every_misbehaviour(
    serve: Callable[..., SlotProcess], request: pytest.FixtureRequest
) -> None:
    slot = serve(MISBEHAVE="?")
    slot.exit_status()
    known = slot.output.partition("known are ")[2].strip().split(", ")
    readme = (request.config.rootpath / "examples/reference_app/README.md").read_text()
    documented = re.findall(r"^\| `([a-z-]+)[:`]", readme, re.MULTILINE)
    assert sorted(documented) == sorted(known)
