"""The index page in a real browser: no accessibility violation, and nothing beyond the side of a phone."""

from __future__ import annotations

import re
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cakravia_verify.report.html.index import render_index
from cakravia_verify.report.runs import figures_in
from cakravia_verify.report.verdict.writing import write_verdict
from tests.report import samples

if TYPE_CHECKING:
    from tests.report.conftest import Browser

pytestmark = [pytest.mark.real, pytest.mark.check]
LIGHT, DARK = (f"--blink-settings=preferredColorScheme={number}" for number in (1, 0))
REPORT = "document.body.dataset.found = found.violations.map((each) => each.id).join(' ') || 'none'"


@pytest.fixture
def page(tmp_path: Path) -> str:
    for number, sample in enumerate((samples.promoted, samples.rolled_back, samples.inconclusive)):
        folder = tmp_path / "reports" / f"2026050{number + 1}-021109-v1-a1b2"
        folder.mkdir(parents=True)
        write_verdict(replace(sample(), version="a-long-name-of-a-version" * 4), folder)
    return render_index(figures_in(tmp_path / "reports", newest=10))


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
def test_axe_finds_nothing_wrong_with_the_index(browser: Browser, tmp_path: Path, page: str, scheme: str) -> None:
    axe = files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8").replace("</script", "<\\/script")
    file = tmp_path / "page.html"
    file.write_text(
        page.replace("</body>", f"<script>{axe}\naxe.run().then((found) => {{ {REPORT} }})</script></body>")
    )
    dom = browser.run(file, "--dump-dom", "--virtual-time-budget=5000", scheme).stdout
    found = re.search('data-found="([^"]*)"', dom)
    assert found is not None
    assert found[1] == "none"


def test_the_index_reaches_not_beyond_the_side_of_a_phone(browser: Browser, tmp_path: Path, page: str) -> None:
    probe = "<script>parent.postMessage(String(document.documentElement.scrollWidth), '*')</script>"
    (tmp_path / "inner.html").write_text(page.replace("</body>", f"{probe}</body>"))
    outer = tmp_path / "outer.html"
    outer.write_text(
        "<!DOCTYPE html><script>onmessage = (sent) => { document.body.dataset.seen = sent.data }</script><body>"
        "<iframe src=inner.html style='border:0;width:360px;height:2000px'></iframe></body>"
    )
    assert 'data-seen="360"' in browser.opened(outer)[0]
