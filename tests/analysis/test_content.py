"""Which changes of answers are large, which are told, and which are those of an ordinary release."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cakravia_verify.analysis.answer_shape import ContentAnswer
from cakravia_verify.analysis.content import difference
from cakravia_verify.analysis.recorded_content import GoodAnswers, change_of, recorded_changes
from cakravia_verify.analysis.run_timeline import RunTimeline
from cakravia_verify.proxy.protocol import Switchover
from cakravia_verify.slots import Colour
from cakravia_verify.system.clock import Microseconds
from tests.traffic.ledger.ledger_files import Run, request

ITEMS = "".join(f"<li><a href='/item/{number}'>Item {number}</a> for {number} coins</li>" for number in range(30))
PAGE = (
    "<!doctype html><html><head><title>Shop</title><script src='/assets/app.1a2b3c4d.js'></script></head><body>"
    f"<nav><a href='/'>Home</a></nav><main><h1>Items</h1><ul>{ITEMS}</ul><p>Welcome to the shop.</p></main>"
)
HTML = {"content-type": "text/html; charset=utf-8"}
JSON = {"content-type": "application/json"}


def page(text: str = PAGE, *, status: int = 200, cookies: tuple[str, ...] = (), **headers: str) -> ContentAnswer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return ContentAnswer(status, {**HTML, **named}, cookies, text.encode(), len(text))


def data(value: Any, **headers: str) -> ContentAnswer:
    body = json.dumps(value).encode()
    return ContentAnswer(200, {**JSON, **headers}, (), body, len(body))


ORDER = {"id": 7, "customer": {"name": "Ana", "city": "Solo"}, "items": [{"sku": "a", "price": 3}], "total": 3}


@pytest.mark.parametrize(
    ("after", "change"),
    [
        (page(""), "an empty body instead of"),
        (page("null"), "no element of a page is left"),
        (page("", status=204), "status 204 instead of 200"),
        (page(status=202), "status 202 instead of 200"),
        (page("<h1>Shop</h1><pre>Traceback (most recent call last):\n</pre>"), "the body says 'Traceback"),
        (page("<h1>Whitelabel Error Page</h1>"), "the body says 'Whitelabel Error Page'"),
        (page(PAGE.replace("Welcome", "Fatal error: Uncaught")), "the body says 'Fatal error:'"),
        (
            page("<main><h1>Items</h1><ul></ul><p>Oops, something went wrong.</p><nav><a></a></nav></main>"),
            "characters",
        ),
        (page("<div><pre>{}</pre></div>" + " " * len(PAGE)), "0 of 7 kinds of elements are left"),
        (data(ORDER), "content type application/json instead of text/html"),
        (ContentAnswer(200, {}, (), b"Items", 5), "content type missing instead of text/html"),
    ],
)
def test_a_page_that_became_something_else_is_a_large_change(after: ContentAnswer, change: str) -> None:
    assert change in difference([page()] * 3, [after] * 3).change


@pytest.mark.parametrize(
    ("after", "change"),
    [
        (None, "null instead of object"),
        ([], "list instead of object"),
        ({}, "0 of"),
        ({"error": "no database"}, "0 of 9 fields are left"),
        (dict.fromkeys(ORDER), "0 of 9 fields are left"),
    ],
)
def test_json_that_lost_its_fields_is_a_large_change(after: Any, change: str) -> None:
    assert change in difference([data(ORDER)] * 3, [data(after)] * 3).change


def test_a_list_whose_items_are_gone_is_a_large_change() -> None:
    assert "0 of 3 fields" in difference([data([{"id": 1, "name": "a"}])], [data([])]).change


def test_cut_json_is_a_large_change() -> None:
    cut = ContentAnswer(200, JSON, (), b'{"id": 7, "cust', 15)
    assert difference([data(ORDER)], [cut]).change == "the body is no JSON any more"


@pytest.mark.parametrize(
    "after",
    [
        page(PAGE.replace("Shop", "New shop")),
        page(PAGE.replace("1a2b3c4d", "9f8e7d6c")),
        page(PAGE.replace("</ul>", f"{ITEMS}{ITEMS}{ITEMS}</ul>")),
        page(PAGE.replace(ITEMS, ITEMS[: len(ITEMS) // 2])),
        page(PAGE.replace("<main>", "<section class=new><main>").replace("<p>", "<div>").replace("<h1>", "<h2>")),
        page(PAGE.replace("Welcome to the shop.", "We write about errors and exceptions.")),
        ContentAnswer(200, {"content-type": "application/xhtml+xml"}, (), PAGE.encode(), len(PAGE)),
    ],
)
def test_an_ordinary_release_changes_nothing_large(after: ContentAnswer) -> None:
    found = difference([page()] * 3, [after] * 3)
    assert (found.change, found.told) == ("", ())


@pytest.mark.parametrize("after", [{**ORDER, "new": 1}, {**ORDER, "items": [{"sku": "b", "price": 1}] * 9}])
def test_json_with_more_in_it_changes_nothing_large(after: Any) -> None:
    found = difference([data(ORDER)] * 3, [data(after)] * 3)
    assert (found.change, found.told) == ("", ())


def test_json_longer_than_what_is_looked_at_is_not_taken_for_broken() -> None:
    whole = data([{"id": number} for number in range(100)])
    longer = ContentAnswer(200, JSON, (), whole.body[:-40], whole.size)
    assert difference([whole], [longer]).change == ""


@pytest.mark.parametrize(
    "odd",
    ["<![foo[x", "<" * 600_000, "[" * 100_000, "\x00\ud800"],
    ids=["declaration", "tags", "depth", "no text"],
)
def test_odd_bodies_end_in_no_traceback(odd: str) -> None:
    body = odd.encode(errors="surrogatepass")
    for headers in (HTML, JSON):
        answer = ContentAnswer(200, headers, (), body, len(body))
        assert difference([page()], [answer]).change
        assert difference([answer], [answer]).change == ""
        assert isinstance(answer.structure, str)


def test_what_differs_from_answer_to_answer_is_no_change() -> None:
    before = [page(), page("<p>Come back soon.</p>"), page()]
    assert difference(before, [page("<p>Soon.</p>")] * 3).change == ""
    assert difference([data([1]), data([])], [data([])] * 2).change == ""


def test_a_redirect_may_become_another_redirect() -> None:
    assert difference([page("", status=302)], [page("", status=303)]).change == ""
    assert difference([page("", status=302)], [page()]).change == "status 200 instead of 302"


def test_a_packed_body_is_compared_by_status_and_type_only() -> None:
    packed = ContentAnswer(200, HTML, (), b"", 90, is_packed=True)
    assert difference([page()], [packed]).change == ""


def test_fields_that_vanished_are_told() -> None:
    left = {name: value for name, value in ORDER.items() if name != "total"}
    found = difference([data(ORDER)] * 2, [data(left)] * 2)
    assert (found.change, found.told) == ("", ("1 fields vanished: .total",))


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (page(), page(clear_site_data='"*"'), "DANGEROUS: Clear-Site-Data is new"),
        (page(cache_control="no-cache"), page(cache_control="public, immutable"), "DANGEROUS: browsers keep this page"),
        (page(), page(cache_control="max-age=31536000"), "DANGEROUS: browsers keep this page, also after a rollback"),
        (page(cache_control="private"), page(cache_control="max-age=60"), "DANGEROUS: Cache-Control allows shared"),
        (page(cache_control="max-age=60"), page(), "the header Cache-Control vanished"),
        (page(content_security_policy="default-src 'self'"), page(), "header content-security-policy vanished"),
        (page(strict_transport_security="max-age=1"), page(), "header strict-transport-security vanished"),
        (page(cookies=("sid=1; HttpOnly; Secure",)), page(), "the cookie sid is not set any more"),
        (
            page(cookies=("sid=1; HttpOnly; Secure; SameSite=Lax",)),
            page(cookies=("sid=2; Secure",)),
            "DANGEROUS: the cookie sid lost httponly, samesite",
        ),
        (page(), page(access_control_allow_origin="*"), "DANGEROUS: access-control-allow-origin is *"),
    ],
)
def test_headers_that_vanish_or_become_dangerous_are_told(
    before: ContentAnswer, after: ContentAnswer, told: str
) -> None:
    found = difference([before] * 2, [after] * 2)
    assert found.change == ""
    assert any(told in remark for remark in found.told), found.told
    assert not any("DANGEROUS" in remark for remark in difference([after] * 2, [after] * 2).told)


@pytest.mark.parametrize(
    ("after", "change"),
    [
        (GoodAnswers(90, [204], 204, 0, 0), "status 204 instead of 201"),
        (GoodAnswers(90, [201, 202], 202, 50, 90), "status 202 instead of 201"),
        (GoodAnswers(90, [201], 201, 0, 0), "an empty body instead of 3,000 bytes"),
        (GoodAnswers(90, [201], 201, 12, 12), "12 bytes instead of 3,000"),
        (GoodAnswers(90, [201, 202], 201, 2_000, 2_500), ""),
        (GoodAnswers(90, [201], 201, 300, 400), ""),
        (GoodAnswers(4, [204], 204, 0, 0), ""),
    ],
)
def test_the_ledger_shows_a_post_that_is_answered_otherwise(after: GoodAnswers, change: str) -> None:
    assert change_of(GoodAnswers(40, [201], 201, 2_000, 3_000), after) == change


def test_a_post_that_is_only_accepted_after_the_switch_is_found_in_the_ledger(tmp_path: Path) -> None:
    switch = Switchover(Colour.GREEN, Microseconds(20_000), Microseconds(20_000))
    rows = []
    for number in range(40):
        facts: dict[str, Any] = dict.fromkeys(("planned", "started", "sent"), number * 1_000 + 1)
        facts |= {"done": number * 1_000 + 500, "name": "order", "method": "POST", "status": 201, "bytes": 900}
        if number >= 20:
            facts |= {"slot": "green", "served_slot": "green", "version": "v2", "status": 202}
        rows.append(request(number, **facts))
    timeline = RunTimeline(touched=None, switchovers=(switch,), until=None, rate=1_000.0)
    with Run(tmp_path, rows).build() as ledger:
        assert recorded_changes(ledger, timeline) == {"order": "status 202 instead of 201"}
        assert recorded_changes(ledger, replace(timeline, switchovers=())) == {}
