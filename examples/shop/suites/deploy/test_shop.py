"""What the shop promises: a release that breaks one of these never reaches its users."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from cakravia_verify.api import SlotView

pytestmark = pytest.mark.gate


def test_price_of_tea_is_right(candidate: SlotView) -> None:
    answer = httpx.get(f"{candidate.url}/prices")
    assert answer.json()["tea"] == "4.50"


def test_login_works_in_a_browser(candidate: SlotView, browser: Any) -> None:
    browser.get(f"{candidate.url}/login")
    browser.find_element("name", "user").send_keys("ann")
    browser.find_element("name", "word").send_keys("tea")
    browser.find_element("tag name", "button").click()
    assert browser.find_element("tag name", "h1").text == "Welcome, ann"


def test_front_page_has_no_console_error(candidate: SlotView, browser: Any) -> None:
    browser.get(candidate.url)
    errors = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert errors == []
