"""The answers of both versions, asked for beside the traffic."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from cakravia_verify.analysis.model import Measurement
from cakravia_verify.errors import ReleaseError, UsageError
from cakravia_verify.gate.model import Measured
from cakravia_verify.report.html.content import contents_of
from cakravia_verify.runs.content_watch import SAMPLES, ContentWatch, entries_of
from cakravia_verify.runs.preflight import require_known
from cakravia_verify.traffic.plan.mix import Body, MixEntry
from cakravia_verify.traffic.plan.plan import TrafficPlan
from tests.report import samples

PLAN = TrafficPlan(
    url="http://site",
    records="",
    run="r",
    mix=(
        MixEntry("page", headers=(("Accept-Encoding", "gzip"), ("X-Own", "{id}"))),
        MixEntry("page, fresh", headers=(("Accept-Encoding", "gzip"), ("Connection", "close"), ("X-Own", "{id}"))),
        MixEntry("order", "POST", "/orders", body=Body("order")),
        MixEntry("item", path="/items/{id}"),
        MixEntry("events", path="/events", stream="events"),
    ),
    headers=(("X-User", "ana"),),
)
GOOD = httpx.Response(200, html="<h1>Shop</h1><p>A page of a shop.</p>")


class Answering:
    """A site in memory whose slots stand under paths of their own. `users` names the slot of users."""

    def __init__(self, **fronts: httpx.Response) -> None:
        self.fronts = {"old": GOOD, "new": GOOD, **fronts}
        self.users = "old"
        self.asked: list[httpx.Request] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        path = request.url.path.removeprefix("/slot")
        slot, path = (path[1:4], path[4:]) if path != request.url.path else (self.users, path)
        if path in ("/", ""):
            return streamed(self.fronts[slot])
        return streamed(httpx.Response(200, json={"id": 1}))

    def watch(self, **named: Any) -> ContentWatch:
        watch = ContentWatch(PLAN, transport=lambda: httpx.MockTransport(self.answer), **named)
        watch.remember()
        return watch

    def preview(self, watch: ContentWatch) -> None:
        watch.preview(active="http://site/slot/old", candidate="http://site/slot/new")


def streamed(answer: httpx.Response) -> httpx.Response:
    """Return the answer with its body still to be read, as one from a network is."""
    return httpx.Response(answer.status_code, headers=answer.headers, stream=httpx.ByteStream(answer.content))


def released(switches: int) -> Any:
    return SimpleNamespace(facts=SimpleNamespace(switchovers=[None] * switches))


def added(watch: ContentWatch, recorded: dict[str, str]) -> Measurement:
    return watch.added_to(Measurement(Measured(), ()), recorded)


def test_only_safe_requests_are_asked_for_as_a_user_asks() -> None:
    site = Answering()
    site.preview(site.watch())
    assert [entry.name for entry in entries_of(PLAN)] == ["page", "item"]
    assert len(site.asked) == 3 * 2 * SAMPLES
    assert {(each.headers["Accept-Encoding"], each.headers["X-User"]) for each in site.asked} == {("identity", "ana")}
    assert {each.url.path for each in site.asked if "items" in each.url.path} >= {"/items/content-0"}


@pytest.mark.parametrize(
    ("front", "why"),
    [
        (httpx.Response(200, html=""), "an empty body instead of"),
        (httpx.Response(200, html="null"), "no element of a page is left"),
        (httpx.Response(202, html="<h1>Shop</h1><p>A page of a shop.</p>"), "status 202 instead of 200"),
        (httpx.Response(204), "status 204 instead of 200"),
    ],
)
def test_a_candidate_without_content_is_refused_before_users_are_moved(front: httpx.Response, why: str) -> None:
    site = Answering(new=front)
    with pytest.raises(ReleaseError, match=f"the answers to 'page' changed: {why}.*users were not moved"):
        site.preview(site.watch())


def test_a_candidate_that_changes_once_users_are_there_stops_the_release() -> None:
    site = Answering()
    watch = site.watch()
    site.preview(watch)
    site.users, site.fronts["new"] = "new", httpx.Response(200, html="")
    watch.require_unchanged(released(0))
    with pytest.raises(ReleaseError, match="users are on the candidate"):
        watch.require_unchanged(released(1))
    asked = len(site.asked)
    watch.require_unchanged(released(1))
    watch.require_unchanged(released(2))
    assert len(site.asked) == asked


def test_an_accepted_change_is_told_and_fails_nothing() -> None:
    site = Answering(new=httpx.Response(204))
    watch = site.watch(accepted=["page"])
    site.preview(watch)
    measurement = added(watch, {"page, fresh": "an empty body", "order": "an empty body"})
    assert measurement.measured.content_changes == {"order": "an empty body"}
    assert sorted(measurement.findings) == [
        "page, fresh: an empty body (accepted)",
        "page: status 204 instead of 200 (accepted)",
    ]


def test_a_change_is_only_told_if_the_settings_say_so() -> None:
    site = Answering(new=httpx.Response(204))
    watch = site.watch(is_required=False)
    site.preview(watch)
    assert added(watch, {}).findings == ("page: status 204 instead of 200 (only told)",)


def test_errors_are_counted_elsewhere_and_an_ill_version_before_is_no_measure() -> None:
    for fronts in ({"new": httpx.Response(500)}, {"old": httpx.Response(500)}):
        site = Answering(**fronts)
        watch = site.watch()
        site.preview(watch)
        assert watch.changes == {}


def test_errors_for_all_but_the_measured_requests_are_seen_once_users_are_there() -> None:
    site = Answering(new=httpx.Response(500))
    watch = site.watch()
    site.preview(watch)
    site.users = "new"
    with pytest.raises(ReleaseError, match="status 500 to each request that looks like an ordinary one"):
        watch.require_unchanged(released(1))
    assert {"cakravia" in request.headers["User-Agent"] for request in site.asked} == {False}
    assert {"X-Request-ID" in request.headers for request in site.asked} == {False}


def test_a_change_that_only_the_records_show_is_measured_too() -> None:
    site = Answering()
    watch = site.watch()
    site.preview(watch)
    measured = added(watch, {"order": "status 202 instead of 201"}).measured
    assert (measured.content_compared, measured.content_changes) == (3, {"order": "status 202 instead of 201"})


def test_both_answers_stand_side_by_side_in_the_report() -> None:
    site = Answering(new=httpx.Response(200, html="<pre>Traceback (most recent call last):</pre>"))
    watch = site.watch(accepted=["page"])
    site.preview(watch)
    document = replace(samples.promoted(), traffic=added(watch, {}).figures)
    row = contents_of(document)[0]
    assert (row.name, row.request, row.change) == ("page", "GET /", "the body says 'Traceback (most recent call last)'")
    assert row.before == ("status 200, text/html, 37 bytes, 2 elements, 22 characters of text", GOOD.text)
    assert row.after[1].startswith("<pre>Traceback")


def test_a_name_that_the_mix_lacks_cannot_be_accepted() -> None:
    require_known(["page", "order"], PLAN)
    with pytest.raises(UsageError, match="no request of this name"):
        require_known(["pages"], PLAN)
