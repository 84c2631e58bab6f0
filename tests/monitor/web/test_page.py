"""The page, its data and the snapshot behind them, without a browser."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from cakravia_verify.monitor.web import charts
from cakravia_verify.monitor.web.page import (
    PUBLIC_SECTIONS,
    SECTIONS,
    DataWriter,
    PageLinks,
    SectionRenderer,
    offline_page_of,
    page_of,
    public_page_of,
)
from cakravia_verify.monitor.web.snapshot import Day, Snapshot, Standing
from cakravia_verify.report.html.scales import Scale
from tests.monitor.web import samples

LINKS = PageLinks(events="monitor.events", act="monitor.act", reports="monitor.reports/")
MOST_BYTES = 60_000
HOSTILE = "\"'><img src=x onerror=alert(1)><script>alert(1)</script>&\u202e{{7*7}}"


class Elements(HTMLParser):
    """Names and attributes of every element."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def busy() -> Snapshot:
    return samples.busy()


def text_of(snapshot: Snapshot, section: str, links: PageLinks = LINKS) -> str:
    html = SectionRenderer(SECTIONS, links).render(snapshot)[section]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def test_page_and_data_of_a_full_site_stay_within_their_bytes(busy: Snapshot) -> None:
    page, data = page_of("shop", LINKS), DataWriter(LINKS).private(busy)
    assert len(page.encode()) + len(data) <= MOST_BYTES


def test_long_texts_from_outside_do_not_make_the_page_large(busy: Snapshot) -> None:
    assert len(DataWriter(LINKS).private(samples.with_text(busy, "x" * 200))) < 4 * MOST_BYTES


def test_a_page_asks_no_other_site_for_anything(busy: Snapshot) -> None:
    for html in (page_of("shop", LINKS), public_page_of("shop"), offline_page_of(busy, reports="r/", note="")):
        addresses = [
            value for _, given in Elements(html).found for name, value in given.items() if name in ("src", "href")
        ]
        assert not [each for each in addresses if re.match(r"^([a-z]+:|//)", each or "")]
        assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org)", html)


def test_no_element_has_a_handler_or_a_style_of_its_own(busy: Snapshot) -> None:
    for _, given in Elements(offline_page_of(busy, reports="", note="")).found:
        assert not [name for name in given if name.startswith("on") or name == "style"]


def test_hostile_text_becomes_no_element(busy: Snapshot) -> None:
    tame = Elements(offline_page_of(busy, reports="r/", note="")).found
    hostile = Elements(offline_page_of(samples.with_text(busy, HOSTILE), reports="r/", note=HOSTILE)).found
    assert {name for name, _ in hostile} <= {name for name, _ in tame}
    known = {name for _, given in tame for name in given}
    assert {name for _, given in hostile for name in given} <= known


def test_the_offline_page_has_no_script_and_allows_none(busy: Snapshot) -> None:
    html = offline_page_of(busy, reports="", note="")
    policies = [given["content"] for _, given in Elements(html).found if "http-equiv" in given]
    assert "<script" not in html
    assert len(policies) == 1
    assert (policies[0] or "").startswith("default-src 'none'; style-src 'sha256-")
    assert "script-src" not in html


def test_zero_lost_requests_are_said_in_words(busy: Snapshot) -> None:
    assert "✓ 0 lost" in text_of(busy, "requests")


def test_lost_requests_are_listed(busy: Snapshot) -> None:
    lossy = replace(busy, releases=(samples.release(3),))
    shown = text_of(lossy, "requests")
    assert "✗ 23 lost" in shown
    assert "u17-9" in shown


def test_the_newest_measured_release_is_shown_though_a_newer_one_was_not_measured(busy: Snapshot) -> None:
    unmeasured = replace(samples.release(0), traffic=None, version="v9")
    assert "v1.11.0" in text_of(replace(busy, releases=(unmeasured, samples.release(1))), "requests")


def test_a_state_has_a_sign_and_a_word_beside_its_colour(busy: Snapshot) -> None:
    html = "".join(SectionRenderer(SECTIONS, LINKS).render(busy).values())
    for standing, said in re.findall(r'<b class="m-(\w+)">(.*?)</b>', html, re.DOTALL):
        sign, _, word = said.strip().partition("\xa0")
        assert sign == {"good": "✓", "warning": "▲", "bad": "✗", "unknown": "?"}[standing]
        assert word


def test_only_a_page_that_can_act_has_buttons(busy: Snapshot) -> None:
    assert "<button" in SectionRenderer(SECTIONS, LINKS).render(busy)["alerts"]
    assert "<button" not in SectionRenderer(SECTIONS, PageLinks()).render(busy)["alerts"]
    assert '<form id="act"' not in page_of("shop", PageLinks(events="monitor.events"))


def test_the_public_learns_nothing_but_availability(busy: Snapshot) -> None:
    secret = samples.with_text(busy, "secret-text")
    public = json.loads(DataWriter(LINKS).public(replace(secret, site="shop", headline=busy.headline, days=busy.days)))
    assert set(public["sections"]) == set(PUBLIC_SECTIONS)
    assert "secret-text" not in json.dumps(public)
    assert "v1.12.0" not in json.dumps(public)


def test_an_outage_is_no_secret_to_the_public(busy: Snapshot) -> None:
    down = replace(busy, alerts=(samples.alert(2, is_open=True),))
    assert json.loads(DataWriter(LINKS).public(down))["headline"]["text"] == "The site has an outage"


def test_targets_may_have_endpoints_of_their_own(busy: Snapshot) -> None:
    page = samples.health("users").cells[0]
    outside = replace(samples.health("outside"), cells=(replace(page, endpoint="page"),))
    html = SectionRenderer(SECTIONS, LINKS).render(replace(busy, health=(samples.health("users"), outside)))["health"]
    assert html.count("<td>\N{EN DASH}</td>") == 5


def test_a_section_that_shows_the_same_is_not_rendered_again(busy: Snapshot) -> None:
    renderer = SectionRenderer(SECTIONS, LINKS)
    first, later = renderer.render(busy), renderer.render(replace(busy, at=busy.at + 5))
    assert all(first[name] is later[name] for name in SECTIONS)


def test_every_part_of_an_empty_site_is_rendered(busy: Snapshot) -> None:
    empty = replace(
        busy,
        alerts=(),
        silences=(),
        events=(),
        releases=(),
        rollback=None,
        health=(),
        latency=(),
        usages=(),
        days=tuple(Day(day.at, None) for day in busy.days),
        drift=(),
        drift_at=None,
        lanes=replace(busy.lanes, occupied=(), users=(), switches=()),
    )
    assert all(SectionRenderer(SECTIONS, LINKS).render(empty).values())


@pytest.mark.parametrize(
    ("availability", "standing"), [(None, "unknown"), (1.0, "good"), (0.9989, "warning"), (0.98, "bad")]
)
def test_a_day_is_as_good_as_its_probes(availability: float | None, standing: str) -> None:
    assert charts.day_standing(Day(0.0, availability)) == standing


def test_one_failure_in_a_day_is_not_a_hundred_percent() -> None:
    assert charts.in_percent(1 - 1 / 172_800) == "99.999%"


@pytest.mark.parametrize("span", [600.0, 7200.0, 86_400.0, 30 * 86_400.0, 900 * 86_400.0])
def test_a_time_axis_has_a_few_round_marks(span: float) -> None:
    ticks = list(charts.wall_ticks(Scale(samples.NOW - span, samples.NOW)))
    assert 2 <= len(ticks) <= 8


def test_the_facts_are_for_programs(busy: Snapshot) -> None:
    facts = json.loads(DataWriter(LINKS).facts(busy))
    assert facts["schema"] == "cakravia-monitor/1"
    assert facts["releases"][0]["traffic"]["lost"] == 0
    assert facts["alerts"][0]["state"] == "firing"
    assert facts["headline"]["standing"] == Standing.BAD
