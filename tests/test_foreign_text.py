"""What applications, engines and files say is bounded where it enters, and harmless where it is shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cakravia_verify.errors import CakraviaError
from cakravia_verify.foreign_text import LONGEST_TEXT, bounded, harmless, one_line


@pytest.mark.parametrize(
    "command",
    [
        "::error::x",
        "  ::set-output name=a::b",
        "ok\n::add-mask::x",
        "a ##[error]x",
        "##vso[task.complete]",
        "x ##teamcity[a]",
        "\x1b[31m::error::x",
        "\r::error::x",
    ],
)
def test_no_line_of_a_ci_log_is_read_as_a_command(command: str) -> None:
    lines = harmless(command).split("\n")
    assert not any(line.lstrip().startswith("::") for line in lines)
    assert not any(mark in line for line in lines for mark in ("##[", "##vso[", "##teamcity["))


def test_ordinary_text_stays_as_it_is() -> None:
    text = "GET http://[::1]:80/ a::b\n\tüber ## [x] 100%\n"
    assert harmless(text) == text


def test_colours_and_control_characters_are_left_out() -> None:
    assert harmless("\x1b[1;31mred\x1b[0m \x1b]0;title\x07 \x00\u202e") == "red  ]0;title    "


@given(st.text(), st.integers(10, 50))
def test_a_name_is_one_short_printable_line(text: str, longest: int) -> None:
    line = one_line(text, longest=longest)
    assert len(line) <= longest
    assert line.isprintable()


def test_a_huge_text_is_one_short_line() -> None:
    assert one_line("x" * 6_000_000, longest=100) == "x" * 97 + "..."
    assert one_line(" " * 6_000_000 + "x", longest=100).endswith("...")


def test_texts_in_a_value_are_shortened_and_the_rest_is_kept() -> None:
    given_value = {"a": ["x" * 6_000_000, 1, None], "b": {"c": "short"}}
    kept = bounded(given_value)
    assert kept["a"][0].startswith("x" * LONGEST_TEXT + "... (5,991,808 more")
    assert (kept["a"][1:], kept["b"]) == ([1, None], {"c": "short"})


def test_message_of_an_error_is_bounded_and_harmless() -> None:
    error = CakraviaError("engine said:\n::error::" + "y" * 6_000_000, remedy="do\x1b[2Jthis")
    assert len(str(error)) < 10_000
    assert "\n| ::error::" in error.message
    assert error.remedy == "dothis"
