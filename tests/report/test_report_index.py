"""Past runs: their figures, what differs between two, and the page that lists all of them."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cakravia_verify.cli.main import main
from cakravia_verify.report.document import ReleaseDocument
from cakravia_verify.report.html.index import render_index
from cakravia_verify.report.runs import changed_checks, differences, figures_in, figures_of
from cakravia_verify.report.verdict.writing import write_verdict
from tests.report import samples

GOOD, BAD, UNSURE = "20260504-021109-v1.2.0-a1b2", "20260505-021109-v1.3.0-a1b2", "20260506-021109-v1.4.0-a1b2"
HOSTILE = "</title></svg><img src=x onerror=alert(1)><script>alert(1)</script>"


def written(folder: Path, document: ReleaseDocument) -> Path:
    folder.mkdir(parents=True)
    write_verdict(document, folder)
    return folder


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A project with three runs and the link to the newest."""
    (tmp_path / "cakravia.toml").write_text('[site]\nname = "shop"\n')
    reports = tmp_path / "reports"
    written(reports / GOOD, samples.promoted())
    written(reports / BAD, samples.rolled_back())
    written(reports / UNSURE, samples.inconclusive())
    (reports / "latest").symlink_to(UNSURE)
    return tmp_path


def report(site: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["--site", str(site / "cakravia.toml"), "report", *words])


class Parts(HTMLParser):
    """The tags of a page with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def links(self) -> list[str | None]:
        return [attributes["href"] for tag, attributes in self.tags if tag == "a"]


def test_the_index_lists_every_run_newest_first_and_links_its_report(site: Path) -> None:
    done = report(site, "index")
    assert done.exit_code == 0, done.output
    page = (site / "reports" / "index.html").read_text()
    assert Parts(page).links() == [f"{name}/report.html" for name in (UNSURE, BAD, GOOD)]


def test_the_index_loads_nothing_from_elsewhere(site: Path) -> None:
    page = render_index(figures_in(site / "reports", newest=10))
    assert not {tag for tag, _ in Parts(page).tags} & {"script", "link", "img", "iframe"}
    assert not re.findall(r"https?://|url\(|@import", page)


def test_each_trend_has_a_bar_for_each_run_that_measured_it(site: Path) -> None:
    runs = figures_in(site / "reports", newest=10)
    bars = [tag for tag, _ in Parts(render_index(runs)).tags if tag == "rect"]
    figures = [figure for run in runs for figure in (run.lost, run.p99, run.switch_seconds, run.seconds)]
    assert len(bars) == len([figure for figure in figures if figure is not None])


def test_the_index_keeps_to_the_newest_runs(site: Path) -> None:
    assert [run.folder.name for run in figures_in(site / "reports", newest=2)] == [BAD, UNSURE]


def test_a_run_without_a_readable_verdict_is_listed_with_the_reason(site: Path) -> None:
    (site / "reports" / BAD / "verdict.json").write_text("{")
    assert "no verdict:" in render_index(figures_in(site / "reports", newest=10))
    assert report(site, "index").exit_code == 0


def test_a_folder_of_no_run_gives_an_index_too(site: Path) -> None:
    shutil.rmtree(site / "reports")
    assert report(site, "index").exit_code == 0
    assert "There is no run yet" in (site / "reports" / "index.html").read_text()


def test_text_of_an_application_cannot_act_in_the_index(tmp_path: Path) -> None:
    run = written(tmp_path / GOOD, replace(samples.promoted(), version=HOSTILE, outcome=HOSTILE))
    tags = {tag for tag, _ in Parts(render_index([figures_of(run)])).tags}
    assert not tags & {"script", "img"}


def test_a_comparison_names_what_changed(site: Path) -> None:
    first, second = site / "reports" / GOOD, site / "reports" / BAD
    found = {each.title: each for each in differences(figures_of(first), figures_of(second))}
    assert (found["lost"].first, found["lost"].second, found["lost"].change) == ("0", "23", "+23")
    assert found["p99"].change == "+1336%"
    assert found["decision"].second == "ROLL BACK"
    assert any("passed" in line and "failed" in line for line in changed_checks(first, second))


def test_equal_runs_differ_in_nothing(site: Path) -> None:
    same = figures_of(site / "reports" / GOOD)
    assert not [each for each in differences(same, same) if each.change]
    assert changed_checks(same.folder, same.folder) == []


def test_a_figure_that_was_not_measured_has_no_change(site: Path) -> None:
    one = figures_of(site / "reports" / GOOD)
    assert {each.change for each in differences(one, replace(one, p99=None, lost=None))} == {""}


def test_a_looser_budget_shows_in_the_comparison(tmp_path: Path) -> None:
    document = samples.promoted()
    check = document.verdict.checks[0]
    looser = replace(document.verdict, checks=(replace(check, threshold="anything"), *document.verdict.checks[1:]))
    first = written(tmp_path / GOOD, document)
    second = written(tmp_path / BAD, replace(document, verdict=looser))
    assert changed_checks(first, second) == [f"{check.title}: required was {check.threshold}, then anything"]


def test_the_commands_take_ids_paths_and_latest(site: Path) -> None:
    for words in (["show"], ["show", GOOD], ["show", str(site / "reports" / GOOD)], ["compare", GOOD]):
        done = report(site, *words)
        assert done.exit_code == 0, done.output
    assert "INCONCLUSIVE" in report(site, "show").output
    assert "None of 30,124 requests was lost" in report(site, "show", GOOD).output


def test_a_run_that_is_not_there_is_a_usage_error(site: Path) -> None:
    done = report(site, "compare", "nowhere", GOOD)
    assert done.exit_code == 4
    assert "there is no report 'nowhere'" in done.output
