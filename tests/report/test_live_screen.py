"""The live screen of a release: what the journal and the records say becomes a few lines that fit the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from cakravia_verify.history.journal import Journal
from cakravia_verify.report.live.follower import LiveRelease, ReleaseFollower
from cakravia_verify.report.text.live_screen import folded, screen_lines
from cakravia_verify.slots import Colour
from cakravia_verify.traffic.records.rows import HEADER, Outcome

AT = 1_800_000_000.0
RELEASE = "r-1"


class Clock:
    def __init__(self) -> None:
        self.now = AT

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Site:
    """A journal and a folder of reports, as a release writes them."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.reports = folder / "reports"
        self.journal = Journal(folder / "history.log", clock=self.clock)
        self.follower = ReleaseFollower(Journal(folder / "history.log"), reports=self.reports, release=RELEASE)

    def write(self, event: str, step: str = "", **facts: Any) -> None:
        self.journal.append(event, release=RELEASE, step=step, **facts)

    def begin(self, version: str = "v1.1.0", **facts: Any) -> None:
        users: dict[str, Any] = {
            "from_slot": "blue",
            "from_version": "v1.0.0",
            "from_digest": "d",
            "proxy_was_running": True,
        }
        self.write("release.started", kind="deploy", version=version, slot="green", **(users | facts))

    def do(self, *steps: str) -> None:
        for step in steps:
            self.write("step.intent", step)
            self.write("step.done", step)

    def request(self, number: int, *, outcome: Outcome = Outcome.ANSWERED, seconds: float = 0.05) -> None:
        folder = self.reports / RELEASE
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "requests.csv"
        planned = number * 10_000
        done = planned + int(seconds * 1e6)
        row = f"{RELEASE}-{number},1,0,GET,page,{planned},{planned},,,,{done},200,1,,,,{outcome},,1"
        with path.open("a") as file:
            file.write(f"{row}\n" if file.tell() else f"{HEADER}\n{row}\n")

    def live(self) -> LiveRelease:
        self.follower.new_entries()
        live = self.follower.now()
        assert live is not None
        return live

    def screen(self, width: int = 79) -> list[str]:
        return screen_lines(self.live(), now=self.clock.now, width=width, colour=False)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_bake_counts_down(site: Site) -> None:
    site.begin()
    site.do("stage", "switch")
    site.write("step.intent", "bake", limit=60.0)
    site.clock.sleep(18)
    line = next(line for line in site.screen() if line.startswith("bake"))
    assert "0:42 left of 60 s" in line
    site.clock.sleep(90)
    assert "0:00 left" in "".join(site.screen())


@pytest.mark.parametrize(
    ("done", "users"),
    [((), Colour.BLUE), (("stage", "prove", "smoke"), Colour.BLUE), (("stage", "switch", "confirm"), Colour.GREEN)],
    ids=["at first", "proved", "switched"],
)
def test_lane_of_the_slot_with_users_is_marked(done: tuple[str, ...], users: Colour, site: Site) -> None:
    site.begin()
    site.do(*done)
    lanes = {line.split()[0]: line for line in site.screen()[1:3]}
    assert "=====>" in lanes[users]
    assert "=====>" not in lanes[users.other]


def test_users_are_back_on_their_lane_after_the_undo(site: Site) -> None:
    site.begin()
    site.do("stage", "switch")
    site.write("step.failed", "bake", error="users lost 2 requests")
    site.write("undo.intent", "switch")
    site.write("undo.done", "switch")
    assert site.live().progress.users is Colour.BLUE
    assert any("users lost 2 requests" in line for line in site.screen())


def test_first_release_of_a_site_has_no_users_before_the_switch(site: Site) -> None:
    site.begin(from_slot=None, from_version=None, proxy_was_running=False)
    assert site.live().progress.users is None
    site.do("stage", "switch")
    assert site.live().progress.users is Colour.GREEN


def test_another_release_of_the_journal_changes_nothing(site: Site) -> None:
    site.begin()
    site.do("stage", "switch")
    before = site.live().progress
    site.journal.append("step.intent", release="r-2", step="bake", limit=5.0)
    assert site.live().progress == before


def test_figures_count_what_was_sent_lost_and_slow(site: Site) -> None:
    site.begin()
    for number in range(90):
        site.request(number)
    for number in range(90, 100):
        site.request(number, seconds=0.4)
    site.request(100, outcome=Outcome.LOST)
    site.request(101, outcome=Outcome.UNREACHED)
    site.request(102, outcome=Outcome.ERROR)
    figures = site.live().figures
    assert (figures.sent, figures.lost, figures.errors) == (103, 2, 1)
    assert figures.p95 == pytest.approx(0.4)


def test_slow_answers_of_long_ago_are_not_in_the_figures_of_now(site: Site) -> None:
    site.begin()
    site.request(0, seconds=3.0)
    for number in range(1000, 1100):
        site.request(number)
    assert site.live().figures.p95 == pytest.approx(0.05)


def test_half_a_row_is_read_when_it_is_whole(site: Site) -> None:
    site.begin()
    site.request(0)
    path = site.reports / RELEASE / "requests.csv"
    whole = path.read_text()
    path.write_text(whole + "r-1-1,1,0,GET,pa")
    assert site.live().figures.sent == 1
    path.write_text(whole + whole.splitlines()[1] + "\n")
    assert site.live().figures.sent == 2


@pytest.mark.parametrize("width", [24, 40, 60, 80, 200])
@pytest.mark.parametrize("version", ["v1", "v" + "9" * 120, "v1.2.0-\N{CJK UNIFIED IDEOGRAPH-4E00}" * 9, "v\x1b[2J"])
def test_no_line_of_the_screen_is_wider_than_the_terminal(width: int, version: str, site: Site) -> None:
    site.begin(version, from_version=version)
    site.do("stage", "switch")
    site.write("step.intent", "before-promote-of-the-release", limit=600.0)
    site.write("undo.failed", "switch", error="why " * 60)
    site.request(0)
    for line in site.screen(width):
        assert cell_len(line) <= width
        assert line.isprintable()


def test_lines_are_folded_between_words() -> None:
    text = "  stage    ok        0.10 s  " + "a sentence of several words " * 4
    lines = list(folded(text.rstrip(), width=60, indent=29))
    assert all(len(line) <= 60 for line in lines)
    assert " ".join("".join(f"{line} " for line in lines).split()) == " ".join(text.split())
    assert all(line.startswith(" " * 29) for line in lines[1:])
