"""The page as a person sees it."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cakravia_verify.monitor.web.page import DataWriter, PageLinks, offline_page_of, page_of, public_page_of
from cakravia_verify.monitor.web.snapshot import Snapshot
from tests.monitor.web import samples
from tests.monitor.web.hostile import CORPUS, RUN, count_of_texts, with_corpus

if TYPE_CHECKING:
    from tests.monitor.web.conftest import Folder, Window

pytestmark = [pytest.mark.real, pytest.mark.check]
LINKS = PageLinks(act="monitor.act", reports="monitor.reports/")
LOADED = "document.querySelector('#s-history table')"
# A page that comes to the front asks at once.
LOOK_NOW = "document.dispatchEvent(new Event('visibilitychange'))"
LOOKS = [
    (1280, "light"),
    (360, "dark"),
    pytest.param(360, "light", marks=pytest.mark.slow),
    pytest.param(1280, "dark", marks=pytest.mark.slow),
]


def now() -> Snapshot:
    return replace(samples.busy(), at=time.time())


def show(folder: Folder, snapshot: Snapshot) -> None:
    folder.put("monitor.html", page_of("shop", LINKS))
    folder.put("monitor.json", DataWriter(LINKS).private(snapshot))


def opened(window: Window, folder: Folder, snapshot: Snapshot, *, width: int = 1280, scheme: str = "light") -> None:
    show(folder, snapshot)
    window.console()
    window.open(f"{folder.address}monitor.html", width=width, scheme=scheme)
    window.await_that(LOADED)


def test_the_page_shows_its_data_without_an_error(window: Window, folder: Folder) -> None:
    opened(window, folder, now())
    text = window.run("return document.body.innerText")
    for expected in ("Users get v1.12.0 from green", "0 lost", "it would succeed", "Slots over time", "23 lost of"):
        assert expected in text
    assert [line for line in window.console() if "favicon" not in line] == []
    assert window.run("return document.title") == "✗ shop: Users get v1.12.0 from green"
    assert window.run("return document.getElementById('stale').hidden") is True


def test_the_page_asks_for_its_own_data_alone(window: Window, folder: Folder) -> None:
    opened(window, folder, now())
    asked = window.run("return performance.getEntriesByType('resource').map((each) => each.name)")
    assert {each for each in asked if "favicon" not in each} == {f"{folder.address}monitor.json"}


@pytest.mark.parametrize("first", [0, 67, 134])
def test_two_hundred_hostile_texts_run_no_script(first: int, window: Window, folder: Folder) -> None:
    hostile = replace(with_corpus(now(), first=first), every=5.0)
    assert len(CORPUS) == 200 < count_of_texts(hostile)
    opened(window, folder, hostile)
    window.run("document.querySelectorAll('details').forEach((each) => { each.open = true })")
    window.run("document.querySelectorAll('#s-alerts, #s-health, a').forEach((each) => each.focus())")
    # Not even the page's policy had to stop one.
    assert [line for line in window.console() if "favicon" not in line] == []
    assert window.run("return window.ran") is None
    assert window.run("return document.querySelectorAll('main script, main img, main iframe, main style').length") == 0
    assert "onerror" in window.run("return document.body.innerText")


def test_a_hostile_offline_page_runs_no_script(window: Window, tmp_path: Path) -> None:
    page = tmp_path / "offline.html"
    page.write_text(offline_page_of(with_corpus(now(), first=0), reports="", note=CORPUS[0]), "utf-8", "replace")
    window.console()
    window.open(page.as_uri())
    assert window.run("return window.ran") is None
    assert window.console() == []


def test_a_text_that_does_run_would_have_been_noticed(window: Window, tmp_path: Path) -> None:
    page = tmp_path / "control.html"
    page.write_text(f"<!DOCTYPE html><title>control</title><body><img src=x onerror={RUN}>")
    window.open(page.as_uri())
    window.await_that("window.ran")


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_axe_finds_nothing_wrong(width: int, scheme: str, window: Window, folder: Folder) -> None:
    opened(window, folder, now(), width=width, scheme=scheme)
    window.run("document.querySelector('button[data-act]').click()")
    window.run("document.querySelectorAll('details').forEach((each) => { each.open = true })")
    assert window.violations() == []


def test_axe_finds_nothing_wrong_with_the_other_pages(window: Window, folder: Folder) -> None:
    snapshot = now()
    folder.put("offline.html", offline_page_of(snapshot, reports="r/", note="The monitor does not run."))
    folder.put("status.html", public_page_of("shop"))
    folder.put("status.json", DataWriter(LINKS).public(snapshot))
    window.open(f"{folder.address}offline.html")
    assert window.violations() == []
    window.open(f"{folder.address}status.html")
    window.await_that("document.querySelector('#s-days svg')")
    assert window.violations() == []


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_reaches_beyond_the_side_of_the_window(width: int, window: Window, folder: Folder) -> None:
    long = samples.with_text(now(), "a-very-long-name-without-any-place-to-break-it" * 4)
    for snapshot in (now(), replace(long, site="shop")):
        opened(window, folder, snapshot, width=width)
        assert window.run("return document.documentElement.scrollWidth") <= width


def test_the_page_says_since_when_the_monitor_is_silent(window: Window, folder: Folder) -> None:
    opened(window, folder, replace(now(), at=time.time() - 600))
    window.await_that("!document.getElementById('stale').hidden")
    said = window.run("return document.getElementById('stale').innerText")
    assert "The monitor is silent since" in said
    assert "10 min" in said
    assert window.run("return document.title").startswith("? shop")


def test_the_page_takes_up_what_is_new_and_keeps_what_was_opened(window: Window, folder: Folder) -> None:
    opened(window, folder, now())
    window.run("document.querySelector('#s-alerts details').open = true")
    show(folder, replace(now(), alerts=(samples.alert(2, is_open=True),)))
    window.run(LOOK_NOW)
    window.await_that("document.querySelector('#s-alerts').innerText.includes('site')")
    assert window.run("return document.querySelector('#s-alerts details').open") is True


def test_a_page_whose_data_is_gone_says_so_and_recovers(window: Window, folder: Folder) -> None:
    opened(window, folder, now())
    (folder.path / "monitor.json").unlink()
    window.run(LOOK_NOW)
    window.await_that("document.getElementById('stale').innerText.includes('No news')")
    show(folder, now())
    window.run(LOOK_NOW)
    window.await_that("document.getElementById('stale').hidden")


def test_the_offline_page_opens_from_a_file(window: Window, tmp_path: Path) -> None:
    page = tmp_path / "offline.html"
    page.write_text(offline_page_of(samples.busy(), reports="reports/", note=""), encoding="utf-8")
    window.console()
    window.open(page.as_uri(), width=360)
    assert "Users get v1.12.0 from green" in window.run("return document.body.innerText")
    assert window.run("return document.scripts.length") == 0
    assert window.console() == []
