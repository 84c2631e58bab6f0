"""The index page in a real browser: no accessibility violation, and nothing beyond the side of a phone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cakravia_verify.report.html.index import render_index
from cakravia_verify.report.runs import figures_in
from cakravia_verify.report.verdict.writing import write_verdict
from tests.report import samples
from tests.report.accessibility import DARK, LIGHT, violations

if TYPE_CHECKING:
    from tests.report.conftest import Browser

pytestmark = [pytest.mark.real, pytest.mark.check]


@pytest.fixture
def page(tmp_path: Path) -> str:
    for number, sample in enumerate((samples.promoted, samples.rolled_back, samples.inconclusive)):
        folder = tmp_path / "reports" / f"2026050{number + 1}-021109-v1-a1b2"
        folder.mkdir(parents=True)
        write_verdict(replace(sample(), version="a-long-name-of-a-version" * 4), folder)
    return render_index(figures_in(tmp_path / "reports", newest=10))


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
def test_axe_finds_nothing_wrong_with_the_index(browser: Browser, tmp_path: Path, page: str, scheme: str) -> None:
    assert violations(browser, page, tmp_path, scheme=scheme) == "none"


def test_the_index_reaches_not_beyond_the_side_of_a_phone(browser: Browser, tmp_path: Path, page: str) -> None:
    probe = "<script>parent.postMessage(String(document.documentElement.scrollWidth), '*')</script>"
    (tmp_path / "inner.html").write_text(page.replace("</body>", f"{probe}</body>"))
    outer = tmp_path / "outer.html"
    outer.write_text(
        "<!DOCTYPE html><script>onmessage = (sent) => { document.body.dataset.seen = sent.data }</script><body>"
        "<iframe src=inner.html style='border:0;width:360px;height:2000px'></iframe></body>"
    )
    assert 'data-seen="360"' in browser.opened(outer)[0]
