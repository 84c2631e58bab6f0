"""Maintenance, hold and own pages: who reaches the application of the real nginx, and what the others get."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from cakravia_verify.platforms.process.nginx import LocalNginx
from cakravia_verify.proxy.nginx.site_facts import SiteFacts
from cakravia_verify.proxy.protocol import Admission
from cakravia_verify.settings.headers import with_files
from cakravia_verify.slots import Colour
from cakravia_verify.system.clock import poll
from tests.platforms.process.nginx.conftest import Answered, Front, deadline


def stop_users(front: Front, proxy: LocalNginx, admission: Admission = Admission.MAINTENANCE) -> None:
    """Change the admission, and wait until a request notices."""
    proxy.set_admission(admission)
    poll(lambda: is_stopped(front), deadline=deadline(), every=0.05)


def is_stopped(front: Front) -> bool:
    """Return whether each of several connections gets no answer of the application: they reach all workers."""
    return all(front.ask("/", headers={"Connection": "close"}).status == 503 for _ in range(8))


def test_maintenance_sends_users_away_and_lets_them_in_again(front: Front, running: LocalNginx) -> None:
    before = running.observe()
    stop_users(front, running)
    answer = front.ask("/cart", method="POST", body=b"order")
    assert (answer.status, answer.headers["Retry-After"], answer.headers["X-Site-State"]) == (503, "120", "maintenance")
    assert running.observe().admission is Admission.MAINTENANCE
    assert front.blue.seen.count("POST /cart") == 0
    running.set_admission(Admission.OPEN)
    assert front.ask("/cart", method="POST", body=b"order").slot == "blue"
    assert running.observe() == before


def test_a_request_in_flight_is_answered_when_maintenance_begins(front: Front, running: LocalNginx) -> None:
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(front.ask, "/slow", method="POST", body=b"order")
        front.blue.entered.wait(10)
        stop_users(front, running)
        front.blue.may_go_on.set()
        assert slow.result().slot == "blue"


@pytest.mark.parametrize(
    ("settings", "headers", "status"),
    [
        ({"addresses": ["127.0.0.0/8"]}, {}, 200),
        ({"addresses": ["10.0.0.0/8"]}, {}, 503),
        ({"cookie": "preview=a-long-secret"}, {"Cookie": "a=b; preview=a-long-secret"}, 200),
        ({"cookie": "preview=a-long-secret"}, {"Cookie": "preview=another"}, 503),
    ],
)
def test_addresses_and_a_cookie_of_the_settings_get_in(
    front: Front, settings: dict[str, object], headers: dict[str, str], status: int
) -> None:
    proxy = front.nginx(maintenance=settings)
    proxy.set_admission(Admission.MAINTENANCE)
    proxy.start(Colour.BLUE, deadline=deadline())
    assert front.ask("/", headers=headers).status == status


def test_health_endpoints_and_the_sites_own_requests_reach_the_application(front: Front) -> None:
    front.facts = SiteFacts(health_paths=("/health", "/"))
    proxy = front.nginx()
    proxy.set_admission(Admission.MAINTENANCE)
    proxy.start(Colour.BLUE, deadline=deadline())
    assert [front.ask(path).status for path in ("/", "/health", "/health?full=1", "/health/x")] == [503, 200, 200, 503]
    key = {name: with_files(value) for name, value in proxy.passing_header.items()}
    assert front.ask("/", headers=key).status == 200
    assert not any("Pass" in name for name in front.blue.headers)
    assert front.ask("/", headers=dict.fromkeys(key, "guessed")).status == 503
    assert front.ask(proxy.path_to(Colour.GREEN) + "/").slot == "green"


def test_maintenance_lasts_over_a_reload_and_a_switch(front: Front, running: LocalNginx) -> None:
    stop_users(front, running)
    front.nginx(max_body="1m").refresh(deadline=deadline())
    running.point_at(Colour.GREEN, deadline=deadline())
    assert front.ask("/").status == 503


def held(front: Front, pool: ThreadPoolExecutor, number: int) -> Future[Answered]:
    future = pool.submit(front.ask, f"/order/{number}", method="POST", body=b"x" * 200_000)
    time.sleep(0.15)
    return future


def test_held_requests_are_answered_in_their_order_when_the_hold_ends(front: Front) -> None:
    proxy = front.nginx(workers=1)
    proxy.set_admission(Admission.HOLD)
    proxy.start(Colour.BLUE, deadline=deadline())
    with ThreadPoolExecutor(8) as pool:
        waiting = [held(front, pool, number) for number in range(8)]
        assert front.blue.seen == []
        proxy.point_at(Colour.GREEN, deadline=deadline())
        proxy.set_admission(Admission.OPEN)
        answers = [each.result() for each in waiting]
    assert [(each.slot, b'"received": 200000' in each.body) for each in answers] == [("green", True)] * 8
    assert sorted(front.green.seen) == [f"POST /order/{number}" for number in range(8)]


def test_held_requests_get_503_when_maintenance_follows(front: Front) -> None:
    proxy = front.nginx()
    proxy.set_admission(Admission.HOLD)
    proxy.start(Colour.BLUE, deadline=deadline())
    with ThreadPoolExecutor(2) as pool:
        waiting = [held(front, pool, number) for number in range(2)]
        proxy.set_admission(Admission.MAINTENANCE)
        assert {each.result().status for each in waiting} == {503}
    assert front.blue.seen == []


def test_a_hold_that_begins_loses_no_request(front: Front, running: LocalNginx) -> None:
    over, answered = threading.Event(), []

    def user() -> None:
        while not over.is_set():
            answered.append(front.ask("/", method="POST", body=b"order").status)

    users = [threading.Thread(target=user) for _ in range(4)]
    for each in users:
        each.start()
    running.set_admission(Admission.HOLD)
    time.sleep(2.5)
    running.set_admission(Admission.OPEN)
    over.set()
    for each in users:
        each.join()
    assert set(answered) == {200}
    assert front.blue.seen.count("POST /") == len(answered)


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    for name in ("502", "503", "504", "maintenance"):
        (tmp_path / f"{name}.html").write_text(f"<h1>Ours: {name} für $alle</h1>")
    return tmp_path


def shown(answer: Answered) -> tuple[int, str, str | None]:
    return answer.status, answer.body.decode(), answer.headers["Content-Type"]


def page(name: str, *, status: int) -> tuple[int, str, str]:
    return status, f"<h1>Ours: {name} für $alle</h1>", "text/html; charset=utf-8"


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("switch", ["flag", "reload"])
def test_a_slot_without_an_answer_shows_the_sites_own_pages(
    front: Front, pages: Path, method: str, switch: str
) -> None:
    front.nginx(pages=str(pages), read_timeout=0.4, switch=switch).start(Colour.BLUE, deadline=deadline())
    assert front.ask("/status/502", method=method).slot == "blue"
    assert shown(front.ask("/slow", method=method)) == page("504", status=504)
    front.blue.end()
    assert shown(front.ask("/", method=method)) == page("502", status=502)


def test_maintenance_shows_its_own_page(front: Front, pages: Path) -> None:
    proxy = front.nginx(pages=str(pages))
    proxy.set_admission(Admission.MAINTENANCE)
    proxy.start(Colour.BLUE, deadline=deadline())
    answer = front.ask("/", method="POST", body=b"order")
    assert shown(answer) == page("maintenance", status=503)
    assert answer.headers["Retry-After"] == "120"
    assert front.ask("/.cakravia/pages/maintenance.html").status == 404


def test_a_changed_page_is_taken_up_by_the_next_release(front: Front, pages: Path) -> None:
    proxy = front.nginx(pages=str(pages))
    proxy.start(Colour.BLUE, deadline=deadline())
    front.blue.end()
    (pages / "502.html").write_text("newer")
    assert proxy.refresh(deadline=deadline())
    assert front.ask("/").body == b"newer"
    assert not proxy.refresh(deadline=deadline())
