"""docs/CHECKS.md lists the checks that exist."""

from __future__ import annotations

import re

from cakravia_verify.checks.configuration.registry import CONFIGURATION
from cakravia_verify.checks.diagnosis.cause import Chapter
from cakravia_verify.checks.prerequisites.registry import PREREQUISITES
from cakravia_verify.kinds import SUITES
from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "CHECKS.md").read_text(encoding="utf-8")


def test_the_page_lists_every_prerequisite() -> None:
    table = PAGE.partition("## Prerequisites")[2].partition("## What is wrong")[0]
    assert re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE) == [check.name for check in PREREQUISITES]


def test_the_page_lists_every_check_of_the_configuration() -> None:
    table = PAGE.partition("### Configuration")[2].partition("## The doctor")[0]
    assert re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE) == [check.name for check in CONFIGURATION]


def test_every_check_has_a_test_in_its_suite() -> None:
    for suite, checks in (("prerequisites", PREREQUISITES), ("config", CONFIGURATION)):
        text = (SUITES / suite / f"test_{suite}.py").read_text(encoding="utf-8")
        assert re.findall(r'\.require\("([^"]+)"\)', text)
        assert set(re.findall(r'\.require\("([^"]+)"\)', text)) == {check.name for check in checks}


def test_the_page_lists_every_kind_of_trouble() -> None:
    table = PAGE.partition("## What is wrong")[2]
    assert re.findall(r"^\| ([a-z][^|]+?) \|", table, re.MULTILINE)[1:] == list(map(str, Chapter))
