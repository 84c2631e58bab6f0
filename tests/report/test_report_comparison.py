"""What the page says beside one release: the releases before, the machine, each lost request, and the files."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from cakravia_verify.report.document import RunFigures
from cakravia_verify.report.html.page import render_summary
from cakravia_verify.report.runs import earlier_releases
from cakravia_verify.report.text.lost_stories import story_of
from cakravia_verify.report.verdict.writing import write_verdict
from cakravia_verify.system.environment import environment_facts
from tests.report import samples

LOST = {
    "id": "r-17",
    "method": "POST",
    "name": "order",
    "connection": 4,
    "reused": True,
    "planned": 1_000_000,
    "sent": 1_000_310,
    "first_byte": 1_020_310,
    "status": 502,
    "outcome": "lost",
    "detail": "a gateway's error",
}


def written(reports: Path, name: str, *, kind: str = "deploy", version: str = "v1") -> None:
    folder = reports / name
    folder.mkdir(parents=True)
    write_verdict(replace(samples.promoted(), kind=kind, version=version), folder)


def test_the_last_releases_are_compared_and_no_load_or_the_release_itself(tmp_path: Path) -> None:
    for number in range(1, 5):
        written(tmp_path, f"2026050{number}-021109-v{number}-a1b2", version=f"v{number}")
    written(tmp_path, "20260505-021109-load-a1b2", kind="load")
    (tmp_path / "20260506-021109-v6-a1b2").mkdir()
    found = earlier_releases(tmp_path, before="20260504-021109-v4-a1b2", newest=2)
    assert [each.version for each in found] == ["v2", "v3"]
    assert earlier_releases(tmp_path / "nowhere", before="", newest=2) == ()


def test_the_page_shows_the_releases_before_with_their_reports() -> None:
    earlier = RunFigures(
        Path("reports/2026 v1"), version="v1.1.0", kind="deploy", outcome="promoted", sent=30_000, lost=2
    )
    page = render_summary(replace(samples.promoted(), earlier=(earlier,)))
    row = re.search(r'<tr><th scope="row"><a href="\.\./2026%20v1/report\.html">v1\.1\.0</a>.*?</tr>', page)
    assert row is not None
    assert "promoted" in row[0]
    assert "30,000" in row[0]
    assert "Against the releases before" not in render_summary(samples.promoted())


def test_each_file_of_the_report_can_be_downloaded_and_no_name_is_a_script() -> None:
    page = render_summary(replace(samples.promoted(), files={"ledger/a b.parquet": "0", "javascript:alert(1)": "0"}))
    assert '<a href="ledger/a%20b.parquet" download>' in page
    assert 'href="javascript:' not in page


def test_a_lost_request_has_the_word_of_all_three_records() -> None:
    both = {"proxy_rows": 1, "proxy_status": 502, "proxy_slot": "green", "upstream_status": "-", "proxy_seconds": 0.02}
    story = story_of(LOST | both | {"app_begins": 1, "app_ends": 0, "app_slot": "green", "app_version": "v2"})
    assert story.id == "r-17"
    assert story.lines == (
        "client: POST order, on the open connection 4, written 0.31 ms after its time, first byte 20 ms later, "
        "status 502, lost: a gateway's error",
        "proxy: status 502 from green which answered - in 20 ms",
        "application: green (v2) never finished it",
    )


def test_a_record_that_lacks_the_request_is_told_as_missing() -> None:
    story = story_of({"id": "r-1", "sent": None, "outcome": "unreached", "findings": "missing_at_proxy"})
    assert story.lines == (
        "client: a request, never written, unreached",
        "proxy: no record of it",
        "application: no record of it",
        "together: missing_at_proxy",
    )


def test_the_page_tells_the_story_of_every_row_that_it_shows() -> None:
    page = render_summary(samples.rolled_back())
    assert page.count("client: ") == len(samples.rolled_back().lost_rows)
    assert "What client, proxy and application recorded" not in render_summary(samples.promoted())


def test_the_machine_is_described(tmp_path: Path) -> None:
    facts = environment_facts(tmp_path)
    assert {"system", "Python", "processors", "memory", "disk"} <= set(facts)
    assert "<dt>processors</dt>" in render_summary(replace(samples.promoted(), environment=facts))
