"""Requests of pages that are older than the last switch: files that are kept, and versions that are named."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cakravia_verify.platforms.process.nginx import LocalNginx
from cakravia_verify.slots import Colour
from cakravia_verify.testing.memory import FakeClock
from tests.kept_files import files_in
from tests.platforms.process.nginx.conftest import Front, deadline

SKEW = {"header": "X-Deployment-Id", "query": "dpl", "cookie": "__vdpl"}
NAMED: tuple[dict[str, Any], ...] = (
    {"headers": {"x-deployment-id": "v1"}},
    {"path": "/page?a=1&dpl=v1"},
    {"headers": {"Cookie": "a=b; __vdpl=v1"}},
)


def proxy_on_green(front: Front, **settings: Any) -> LocalNginx:
    """Return a proxy whose users have just been moved from blue, with v1, to green."""
    proxy = front.nginx(**{"skew": SKEW, **settings})
    proxy.start(Colour.BLUE, deadline=deadline())
    proxy.pin(Colour.BLUE, "v1")
    proxy.point_at(Colour.GREEN, deadline=deadline())
    return proxy


def test_a_request_that_names_the_old_version_goes_to_its_slot(front: Front) -> None:
    proxy_on_green(front)
    assert front.ask().slot == "green"
    for named in NAMED:
        for method in ("GET", "POST"):
            answered = front.ask(method=method, **{"path": "/", **named})
            assert (answered.status, answered.slot, answered.served_slot) == (200, "blue", ["blue"])


def test_a_request_that_names_another_version_goes_to_users_slot(front: Front) -> None:
    proxy_on_green(front)
    for version in ("v2", "..", "v1/..", "%2e%2e", "", "green.active", "v1x"):
        assert front.ask(headers={"x-deployment-id": version}).slot == "green"


def test_a_pin_is_not_in_force_before_the_switch(front: Front) -> None:
    proxy = front.nginx(skew=SKEW)
    proxy.start(Colour.BLUE, deadline=deadline())
    proxy.pin(Colour.BLUE, "v1")
    proxy.pin(Colour.GREEN, "v2")
    proxy.unpin(Colour.GREEN)
    assert front.ask(headers={"x-deployment-id": "v2"}).slot == "blue"
    assert front.ask(headers={"x-deployment-id": "v1"}).slot == "blue"


def test_a_pin_ends_at_its_maximum_age(front: Front) -> None:
    proxy = proxy_on_green(front)
    assert front.ask(headers={"x-deployment-id": "v1"}).slot == "blue"
    # As a release wrote it whose maximum age ended a moment ago.
    clock = FakeClock()
    old = LocalNginx(proxy._settings, folder=front.folder, upstreams={}, clock=clock)
    assert clock.wall() + 43_200 < 1_750_000_000
    old.pin(Colour.BLUE, "v1")
    assert front.ask(headers={"x-deployment-id": "v1"}).slot == "green"


def test_an_ended_pin_leaves_no_request_on_the_old_slot(front: Front) -> None:
    proxy = proxy_on_green(front)
    proxy.unpin(Colour.BLUE)
    assert front.ask(headers={"x-deployment-id": "v1"}).slot == "green"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_dead_pinned_slot_costs_no_request(front: Front, method: str) -> None:
    proxy_on_green(front)
    front.blue.end()
    answered = front.ask(method=method, headers={"x-deployment-id": "v1"})
    assert (answered.status, answered.slot) == (200, "green")


def test_a_pinned_slot_that_says_503_is_left_for_safe_methods_alone(front: Front) -> None:
    proxy_on_green(front)
    answered = front.ask("/status/503", headers={"x-deployment-id": "v1"})
    assert (answered.slot, front.blue.seen[-1], front.green.seen[-1]) == ("green", *["GET /status/503"] * 2)
    answered = front.ask("/status/503", method="POST", headers={"x-deployment-id": "v1"})
    assert (answered.slot, answered.status) == ("blue", 503)


def test_the_pinned_slots_own_answers_pass(front: Front) -> None:
    proxy_on_green(front)
    for status in (404, 418, 419, 420, 421, 422, 423, 500, 502, 504):
        answered = front.ask(f"/status/{status}", method="POST", headers={"x-deployment-id": "v1"})
        assert (answered.status, answered.slot) == (status, "blue")
    assert front.green.seen == []


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_quiet_stream_of_a_pinned_slot_lives_longer_than_other_answers(front: Front, method: str) -> None:
    proxy_on_green(front, read_timeout=0.3)
    named = {"x-deployment-id": "v1"}
    with ThreadPoolExecutor(1) as pool:
        stream = pool.submit(front.ask, "/slow", method=method, headers={**named, "Accept": "text/event-stream"})
        assert front.blue.entered.wait(10)
        assert front.ask("/slow", method=method, headers=named).status == 504
        front.blue.may_go_on.set()
        assert (stream.result().status, stream.result().slot) == (200, "blue")


def test_a_request_broken_by_the_pinned_slot_is_not_sent_again(front: Front) -> None:
    proxy_on_green(front)
    answered = front.ask("/breaks", method="POST", headers={"x-deployment-id": "v1"})
    assert answered.status == 502
    assert front.green.seen == []


@pytest.mark.parametrize("switch", ["flag", "reload"])
def test_a_kept_file_is_served_while_its_version_is_away_and_only_then(front: Front, switch: str) -> None:
    proxy = front.nginx(switch=switch, assets=("/static/", "/a."))
    proxy.start(Colour.BLUE, deadline=deadline())
    files = {"/static/chunks/old.js": b"old", "/a.v1.js": b"a", "/static/chunks/[slug]/page.js": b"slug"}
    proxy.keep_files(Colour.GREEN, files_in(front.folder.parent / "files", files))
    assert front.ask("/static/chunks/old.js").slot == "blue"
    proxy.point_at(Colour.GREEN, deadline=deadline())
    kept = front.ask("/static/chunks/old.js?dpl=v1")
    assert (kept.status, kept.body, kept.headers["Content-Type"]) == (200, b"old", "text/javascript")
    assert kept.headers["X-Content-Type-Options"] == "nosniff"
    assert front.ask("/a.v1.js").body == b"a"
    assert front.ask("/static/chunks/%5Bslug%5D/page.js").body == b"slug"
    assert front.ask("/static/chunks/new.js").slot == "green"
    assert front.ask("/static/new.js", method="POST", body=b"12").slot == "green"
    assert front.ask("/nothing").status == 404
    proxy.keep_files(Colour.GREEN, {})
    assert front.ask("/static/chunks/old.js").slot == "green"


def test_files_are_replaced_without_a_moment_between(front: Front) -> None:
    proxy = front.nginx(assets=("/static/",))
    proxy.start(Colour.BLUE, deadline=deadline())
    for number in range(30):
        files = {"/static/old.js": b"old", f"/static/{number}.js": b"x"}
        proxy.keep_files(Colour.BLUE, files_in(front.folder.parent / str(number), files))
        assert front.ask("/static/old.js").body == b"old"
    assert len(list((front.folder / "assets" / "sets").iterdir())) == 1
