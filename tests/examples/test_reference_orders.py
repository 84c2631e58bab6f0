"""Orders are executed exactly once, whatever repeats or dies."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.examples.conftest import SlotProcess


def _place(slot: SlotProcess, key: str, order: dict[str, Any] | None = None) -> httpx.Response:
    return slot.client.post("/api/orders", json=order or {"item": "mango"}, headers={"Idempotency-Key": key})


def test_a_new_order_is_executed_once(slot: SlotProcess) -> None:
    answer = _place(slot, "new")
    assert answer.status_code == 201
    receipt = answer.json()
    assert (receipt["order"], receipt["executions"], receipt["replayed"]) == ("new", 1, False)


def test_a_repeated_order_is_answered_but_not_executed_again(slot: SlotProcess) -> None:
    _place(slot, "again")
    answer = _place(slot, "again")
    assert answer.status_code == 200
    receipt = answer.json()
    assert (receipt["executions"], receipt["presented"], receipt["replayed"]) == (1, 2, True)


def test_the_request_id_stands_in_for_the_key(slot: SlotProcess) -> None:
    answer = slot.client.post("/api/orders", json={}, headers={"X-Request-ID": "run-9"})
    assert answer.json()["order"] == "run-9"


def test_a_key_is_not_given_to_another_order(slot: SlotProcess) -> None:
    _place(slot, "taken")
    assert _place(slot, "taken", {"item": "papaya"}).status_code == 422
    assert slot.client.get("/api/orders/taken").json()["body"] == {"item": "mango"}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_what_is_no_order_is_refused(slot: SlotProcess, body: bytes) -> None:
    assert slot.client.post("/api/orders", content=body, headers={"Idempotency-Key": "x"}).status_code == 400


def test_an_order_too_large_is_refused(slot: SlotProcess) -> None:
    answer = slot.client.post("/api/orders", content=b" " * 1_100_000, headers={"Idempotency-Key": "x"})
    assert answer.status_code == 413


def test_the_location_of_an_order_leads_to_it(slot: SlotProcess) -> None:
    where = _place(slot, "a/b?c").headers["location"]
    assert slot.client.get(where).json()["order"] == "a/b?c"


def test_replacing_twice_changes_once(slot: SlotProcess) -> None:
    _place(slot, "replaced")
    for _ in range(2):
        answer = slot.client.put("/api/orders/replaced", json={"item": "guava"})
    assert answer.json()["replacements"] == 1
    assert slot.client.get("/api/orders/replaced").json()["body"] == {"item": "guava"}


def test_a_deleted_order_is_gone_and_not_executed_by_a_late_repetition(slot: SlotProcess) -> None:
    _place(slot, "deleted")
    assert [slot.client.delete("/api/orders/deleted").status_code for _ in range(2)] == [200, 200]
    assert slot.client.get("/api/orders/deleted").status_code == 410
    assert _place(slot, "deleted").json()["executions"] == 1


def test_both_slots_execute_an_order_once_between_them(serve: Callable[..., SlotProcess]) -> None:
    blue, green = serve().ready(), serve(DEPLOYMENT_SLOT="green", APP_VERSION="v1.3.0").ready()
    keys = [f"k{number}" for number in range(100)]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda work: _place(*work), [(slot, key) for key in keys for slot in (blue, green)]))
    assert sorted(answer.status_code for answer in answers) == [200] * 100 + [201] * 100
    count = green.client.get("/api/orders").json()
    assert (count["orders"], count["executions"], count["presented"]) == (100, 100, 200)


def test_orders_outlive_a_kill(serve: Callable[..., SlotProcess]) -> None:
    blue = serve().ready()
    confirmed: list[str] = []

    def place_until_it_dies(worker: int) -> None:
        for number in range(10_000):
            try:
                if _place(blue, f"{worker}-{number}").status_code == 201:
                    confirmed.append(f"{worker}-{number}")
            except httpx.TransportError:
                return

    with ThreadPoolExecutor(4) as threads:
        work = [threads.submit(place_until_it_dies, worker) for worker in range(4)]
        blue.wait_for("orders flow", lambda: len(confirmed) >= 50)
        blue.send(signal.SIGKILL)
        for job in work:
            job.result()
    green = serve(DEPLOYMENT_SLOT="green").ready()
    kept = [green.client.get(f"/api/orders/{key}").json()["executions"] for key in confirmed]
    assert kept == [1] * len(confirmed)


def test_two_slots_that_start_at_once_both_open_the_store(serve: Callable[..., SlotProcess]) -> None:
    both = [serve(), serve(DEPLOYMENT_SLOT="green")]
    assert [_place(slot.ready(), f"k-{number}").status_code for number, slot in enumerate(both)] == [201, 201]
