"""The region at the end of a terminal: other output scrolls above it, and it leaves nothing behind."""

from __future__ import annotations

import io
import os
import pty
from pathlib import Path

import pytest

from cakravia_verify.system.terminal_region import TerminalRegion, can_redraw


class Screen:
    """A terminal of unlimited height that understands what a region writes."""

    def __init__(self) -> None:
        self.rows: list[str] = [""]
        self.row = 0
        self.column = 0

    def feed(self, text: str) -> list[str]:
        while text:
            if text.startswith("\x1b["):
                end = next(place for place, letter in enumerate(text) if letter.isalpha())
                self._control(text[2:end], text[end])
                text = text[end + 1 :]
                continue
            letter, text = text[0], text[1:]
            if letter == "\n":
                self.row, self.column = self.row + 1, 0
                self.rows += [""] * (self.row + 1 - len(self.rows))
            elif letter == "\r":
                self.column = 0
            else:
                line = self.rows[self.row].ljust(self.column)
                self.rows[self.row] = line[: self.column] + letter + line[self.column + 1 :]
                self.column += 1
        return [row for row in self.rows if row]

    def _control(self, number: str, letter: str) -> None:
        if letter == "A":
            self.row -= int(number)
        elif letter == "K":
            self.rows[self.row] = self.rows[self.row][: self.column]
        elif letter == "J":
            self.rows[self.row] = self.rows[self.row][: self.column]
            del self.rows[self.row + 1 :]


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def region(stream: io.StringIO) -> TerminalRegion:
    return TerminalRegion(stream)


def shown(stream: io.StringIO) -> list[str]:
    return Screen().feed(stream.getvalue())


def test_output_scrolls_above_the_region(region: TerminalRegion, stream: io.StringIO) -> None:
    region.show(["blue", "green"])
    region.write("build ok\n")
    region.show(["blue", "green users"])
    region.write("stage ok\n")
    assert shown(stream) == ["build ok", "stage ok", "blue", "green users"]


def test_region_waits_for_the_end_of_an_unfinished_line(region: TerminalRegion, stream: io.StringIO) -> None:
    region.show(["blue"])
    region.write("half")
    region.show(["green"])
    assert shown(stream) == ["half"]
    region.write(" a line\n")
    assert shown(stream) == ["half a line", "green"]


def test_shorter_region_leaves_nothing_of_the_longer_one(region: TerminalRegion, stream: io.StringIO) -> None:
    region.show(["one", "two", "three"])
    region.show(["1"])
    assert shown(stream) == ["1"]


def test_closed_region_leaves_only_the_output(region: TerminalRegion, stream: io.StringIO) -> None:
    region.write("build ok\n")
    region.show(["blue", "green"])
    region.close()
    region.show(["late"])
    region.write("PROMOTE\n")
    assert shown(stream) == ["build ok", "PROMOTE"]


@pytest.mark.parametrize(
    ("environment", "is_able"),
    [({"TERM": "xterm"}, True), ({"TERM": "dumb"}, False), ({}, False), ({"TERM": "xterm", "CI": "true"}, False)],
    ids=["terminal", "dumb", "unnamed", "CI"],
)
def test_only_a_terminal_that_can_redraw_is_redrawn(environment: dict[str, str], is_able: bool) -> None:
    controller, terminal = pty.openpty()
    with os.fdopen(controller, "rb"), os.fdopen(terminal, "w") as stream:
        assert can_redraw(stream, environment) is is_able


def test_file_is_not_redrawn() -> None:
    with Path(os.devnull).open("w") as stream:
        assert not can_redraw(stream, {"TERM": "xterm"})
