"""docs/LINT.md lists the rules that exist."""

from __future__ import annotations

import re

from cakravia_verify.cli.lint import lint
from cakravia_verify.proxy.lint.registry import RULES
from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "LINT.md").read_text(encoding="utf-8")


def test_the_page_has_a_section_for_each_rule_with_its_severity() -> None:
    sections = re.findall(r"^### ([\w-]+)\n(.*?)(?=^#|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert [name for name, _ in sections] == [rule.id for rule in RULES]
    severities = [re.findall(r"^- Severity: (\w+)\.$", text, re.MULTILINE) for _, text in sections]
    assert severities == [[str(rule.severity)] for rule in RULES]


def test_the_page_lists_every_option() -> None:
    options = {name for each in lint.params for name in each.opts if name.startswith("--")}
    assert set(re.findall(r"^\| `(--[\w-]+)", PAGE, re.MULTILINE)) == options


def test_each_rule_has_a_file_of_its_name() -> None:
    folder = ROOT / "cakravia_verify" / "proxy" / "lint" / "rules"
    files = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert files == {rule.id.replace("-", "_") for rule in RULES}
