"""What a person sees who opens the report."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cakravia_verify.gate.model import Check, CheckStatus
from cakravia_verify.report.document import Event, ReleaseDocument, RunFigures
from tests.report import samples
from tests.report.accessibility import DARK, LIGHT, violations

if TYPE_CHECKING:
    from tests.report.conftest import Browser

pytestmark = [pytest.mark.real, pytest.mark.check]
HOSTILE = "</style></title></svg></script><img src=x onerror=console.error('ran')><script>console.error('ran')</script>"


def hostile(document: ReleaseDocument) -> ReleaseDocument:
    check = Check(HOSTILE, HOSTILE, CheckStatus.FAILED, HOSTILE, HOSTILE, HOSTILE)
    return replace(
        document,
        version=HOSTILE,
        site=HOSTILE,
        reason=HOSTILE,
        next_step=HOSTILE,
        who=HOSTILE,
        verdict=replace(document.verdict, why=HOSTILE, checks=(check,)),
        findings=(HOSTILE,),
        drift=(HOSTILE,),
        timeline=(Event(HOSTILE, HOSTILE, 1.0, 0.5, HOSTILE),),
        buckets=tuple(replace(bucket, by_slot={HOSTILE: bucket.answered}) for bucket in document.buckets),
        windows=tuple(replace(window, name=HOSTILE) for window in document.windows),
        lost_rows=({HOSTILE: HOSTILE},),
        traffic={HOSTILE: HOSTILE},
        files={HOSTILE: HOSTILE},
        earlier=(RunFigures(Path(HOSTILE), version=HOSTILE, kind=HOSTILE, outcome=HOSTILE, started_at=HOSTILE),),
        environment={HOSTILE: HOSTILE},
    )


def test_the_page_opens_without_a_console_error(
    browser: Browser, whole_report: Callable[[ReleaseDocument], Path]
) -> None:
    dom, console = browser.opened(whole_report(samples.promoted()))
    assert console == []
    assert "All users are on v1.2.0 (green). None of 30,124 requests was lost." in dom
    assert dom.index("PROMOTE") < dom.index("No request was lost<br>")


def test_nothing_hostile_is_executed(browser: Browser, whole_report: Callable[[ReleaseDocument], Path]) -> None:
    dom, console = browser.opened(whole_report(hostile(samples.rolled_back())))
    assert console == []
    assert not re.search(r"<(img src=.?x|script>console)", dom)


def test_a_script_that_does_run_would_have_been_noticed(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(f"<!DOCTYPE html><title>control</title><body>{HOSTILE}</body>")
    assert any("ran" in line for line in browser.opened(page)[1])


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
def test_axe_finds_nothing_wrong_with_the_report(
    browser: Browser, whole_report: Callable[[ReleaseDocument], Path], tmp_path: Path, scheme: str
) -> None:
    assert violations(browser, whole_report(samples.rolled_back()).read_text(), tmp_path, scheme=scheme) == "none"


@pytest.mark.parametrize("width", [400, 1400])
def test_the_verdict_is_on_top_and_nothing_is_cut_off_at_the_side(
    browser: Browser, whole_report: Callable[[ReleaseDocument], Path], tmp_path: Path, width: int
) -> None:
    probe = (
        "<script>addEventListener('load', () => { const banner = document.querySelector('.ck-banner');"
        "const box = banner.getBoundingClientRect();"
        "parent.postMessage([document.documentElement.scrollWidth, box.top < 120, box.width > 300,"
        "getComputedStyle(banner).backgroundColor].join(' '), '*') })</script>"
    )
    page = whole_report(samples.rolled_back())
    (tmp_path / "inner.html").write_text(page.read_text().replace("</body>", f"{probe}</body>"))
    outer = tmp_path / "outer.html"
    outer.write_text(
        "<!DOCTYPE html><script>onmessage = (said) => { document.body.dataset.seen = said.data }</script><body>"
        f"<iframe src=inner.html style='border:0;width:{width}px;height:2000px'></iframe></body>"
    )
    dom, _ = browser.opened(outer)
    assert f'data-seen="{width} true true rgb(168, 28, 38)"' in dom
