"""Pages that the traffic holds open."""

from __future__ import annotations

import httpx
import pytest

from cakravia_verify.runs.open_pages import OpenPages, paths_of
from cakravia_verify.traffic.plan.mix import MixEntry
from cakravia_verify.traffic.plan.plan import TrafficPlan


class Browsed:
    """A site in memory: what it answers by path, and what it was asked."""

    def __init__(self, version: str) -> None:
        self.version = version
        self.kept: set[str] = set()
        self.asked: list[httpx.Request] = []
        self.other = httpx.Response(404)

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        path = request.url.path
        if path == "/":
            page = f"<script src='/assets/{self.version}.js?dpl={self.version}'></script>"
            return httpx.Response(200, html=page, headers={"Set-Cookie": f"v={self.version}"})
        if path == "/text":
            return httpx.Response(200, text="no page")
        if path in self.kept or path == f"/assets/{self.version}.js":
            return httpx.Response(200, text="1", headers={"Content-Type": "text/javascript"})
        return self.other


def opened(site: Browsed) -> OpenPages:
    mix = (
        MixEntry("page"),
        MixEntry("text", path="/text"),
        MixEntry("post", "POST", "/p"),
        MixEntry("i", path="/{id}"),
    )
    plan = TrafficPlan(url="http://site", records="", run="r", mix=mix, headers=(("Host", "shop"), ("X-Own", "1")))
    pages = OpenPages(plan, transport=lambda: httpx.MockTransport(site.answer))
    pages.load()
    return pages


def test_only_pages_of_html_are_held_open() -> None:
    site = Browsed("v1")
    pages = opened(site)
    assert [(page.path, page.files) for page in pages.pages] == [("/", ("/assets/v1.js?dpl=v1",))]
    assert (pages.count, pages.broken) == (1, None)
    assert {(request.headers["Host"], request.headers["X-Own"]) for request in site.asked} == {("shop", "1")}


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (httpx.Response(404), "status 404"),
        (httpx.Response(502), "status 502"),
        (httpx.Response(200, html="<p>"), "a page (text/html; charset=utf-8) in place of the file"),
    ],
)
def test_a_page_whose_file_is_gone_after_the_switch_is_broken(other: httpx.Response, why: str) -> None:
    site = Browsed("v1")
    pages = opened(site)
    site.version, site.other = "v2", other
    pages.visit()
    assert pages.broken == 1
    assert list(pages.examples) == [f"the open page / misses 1 of 1 files: /assets/v1.js?dpl=v1: {why}"]
    site.version = "v1"
    pages.visit()
    assert pages.broken == 1


def test_a_page_is_whole_while_all_its_files_come() -> None:
    site = Browsed("v1")
    pages = opened(site)
    site.version = "v2"
    site.kept.add("/assets/v1.js")
    pages.visit()
    pages.load()
    site.version = "v1"
    site.kept.add("/assets/v2.js")
    pages.visit()
    assert (pages.count, pages.broken) == (2, 0)
    assert site.asked[-1].headers["Cookie"] == "v=v2"


def test_a_site_without_an_answer_is_asked_once() -> None:
    site = Browsed("v1")
    pages = opened(site)
    pages.load()
    asked = len(site.asked)

    def hang(request: httpx.Request) -> httpx.Response:
        site.asked.append(request)
        raise httpx.ReadTimeout("too late", request=request)

    pages._transport = lambda: httpx.MockTransport(hang)
    pages.visit()
    pages.load()
    assert len(site.asked) == asked + 2
    assert (pages.count, pages.broken) == (2, 1)
    assert pages.examples[0].endswith("no answer: ReadTimeout")


def test_steps_of_journeys_are_pages_too() -> None:
    mix = (MixEntry("a", path="/a", steps=(MixEntry("b", path="/b"),)), MixEntry("s", path="/s", stream="events"))
    assert paths_of(TrafficPlan(url="", records="", run="", mix=mix)) == ("/a", "/b")
