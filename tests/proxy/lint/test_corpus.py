"""Configurations in the style of real ones: a bad one breaks exactly what its first line says, a good one nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from cakravia_verify.proxy.lint.linting import IGNORE_COMMENT, lint
from cakravia_verify.proxy.lint.parsing import parse_text
from cakravia_verify.proxy.lint.registry import RULES

HERE = Path(__file__).parent
BAD, GOOD = sorted((HERE / "bad").glob("*.conf")), sorted((HERE / "good").glob("*.conf"))
# These need files or facts that a configuration does not have; their proofs show both sides.
NEED_MORE = {"certificate", "read-timeout-over-grace"}
MARK = "# breaks: "


def broken_in(path: Path) -> dict[str, str]:
    """Return what the linter finds: one place for each broken rule."""
    findings = lint(parse_text(path.read_text(encoding="utf-8"), name=str(path)))
    return {each.rule: f"line {each.line}: {each.found}" for each in findings if each.counts}


def expected(path: Path) -> set[str]:
    return set(path.read_text(encoding="utf-8").splitlines()[0].removeprefix(MARK).split())


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_bad_configuration_breaks_what_it_says_and_nothing_else(path: Path) -> None:
    found = broken_in(path)
    assert set(found) == expected(path), found


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_a_good_configuration_raises_no_alarm(path: Path) -> None:
    assert broken_in(path) == {}


def test_the_corpus_breaks_every_rule_and_is_large() -> None:
    broken = {rule for path in BAD for rule in expected(path)}
    assert broken == {rule.id for rule in (*RULES, IGNORE_COMMENT)} - NEED_MORE
    assert min(len(BAD), len(GOOD)) >= 40
