"""The options of a release session: what no setting can be is a usage error, and what is told is text."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cakravia_verify.plugin.options import finite, readable

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e400"])
def test_numbers_that_are_not_finite_are_refused_in_words(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not a finite number"):
        finite(text)


@pytest.mark.parametrize(("text", "number"), [("5", 5.0), ("-0.25", -0.25), ("1e3", 1000.0)])
def test_numbers_are_taken_as_they_are_written(text: str, number: float) -> None:
    assert finite(text) == number


def test_bytes_that_were_no_text_are_written_out() -> None:
    assert readable(b"caf\xe9 \xff".decode("utf-8", "surrogateescape")) == "caf\\xe9 \\xff"
    assert readable("a\ud800b") == "a\\ud800b"


@given(st.text())
def test_text_stays_as_it_is(text: str) -> None:
    assert readable(text) == text


@given(st.binary())
def test_whatever_was_typed_can_be_written_as_text(typed: bytes) -> None:
    readable(typed.decode("utf-8", "surrogateescape")).encode("utf-8")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--users", "nan"), "'nan' is not a finite number"),
        (("--rate", "inf"), "'inf' is not a finite number"),
        (("--wait", "1e400"), "'1e400' is not a finite number"),
        (("-p", "no:terminal"), "run it without -p no:terminal"),
        (("-p", "no:metadata"), "run it without -p no:metadata"),
        (("-p", "no:junitxml"), "run it without -p no:junitxml"),
        (("--bake", "3", "--set", "release.bake=1"), "--bake 3 and --set release.bake=1 contradict each other"),
        (("--css", "nowhere.css"), "--css nowhere.css: there is no such file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_session_that_cannot_be_held_is_refused_before_its_site_is_looked_at(
    arguments: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    status, told = _session(tmp_path, *arguments)
    assert (status, words in told) == (4, True), told
    assert "Traceback" not in told
    assert "INTERNALERROR" not in told
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("switches", [("-O",), ("-OO",)], ids=" ".join)
def test_session_without_asserts_is_refused(switches: tuple[str, ...], tmp_path: Path) -> None:
    status, told = _session(tmp_path, switches=switches)
    assert (status, "asserts are off" in told) == (4, True), told
    assert "Traceback" not in told
    assert list(tmp_path.iterdir()) == []


def _session(folder: Path, *arguments: str, switches: tuple[str, ...] = ()) -> tuple[int, str]:
    command = [sys.executable, *switches, "-m", "pytest", str(ROOT / "suites" / "deploy"), "--version", "v1.2.0"]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr
