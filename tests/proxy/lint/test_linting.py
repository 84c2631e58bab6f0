"""Findings, comments that ignore them, and the three forms of a report."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest

from cakravia_verify.proxy.lint.linting import lint
from cakravia_verify.proxy.lint.model import LintFinding
from cakravia_verify.proxy.lint.parsing import parse_text
from cakravia_verify.proxy.lint.registry import RULES
from cakravia_verify.proxy.lint.reports import as_json, as_sarif, summary, text_lines
from tests.proxy.lint.sarif import LOG

HEALTH = "location = /health {\n    return 200 ok;\n}\nlocation / { proxy_pass http://127.0.0.1:1; }\n"


def found(text: str, rule: str = "health-by-proxy") -> list[LintFinding]:
    return [each for each in lint(parse_text(text)) if each.rule == rule]


def test_a_finding_has_its_place_and_its_section() -> None:
    (finding,) = found(HEALTH)
    assert (finding.line, finding.counts, finding.section) == (2, True, "docs/LINT.md#health-by-proxy")


@pytest.mark.parametrize(
    "text",
    [
        f"# cakravia-lint: ignore health-by-proxy: the balancer asks for nginx alone\n{HEALTH}",
        f"# cakravia-lint: ignore health-by-proxy, certificate: the balancer asks\n# more words\n{HEALTH}",
        HEALTH.replace("ok;", "ok; # cakravia-lint: ignore health-by-proxy: the balancer asks"),
        f"# cakravia-lint: ignore health-by-proxy: a test site\nserver {{\n{HEALTH}}}",
        HEALTH.replace("    return", "    #cakravia-lint:ignore health-by-proxy:asked by the balancer\n    return"),
    ],
)
def test_a_comment_with_a_reason_ignores_a_rule(text: str) -> None:
    assert [each.counts for each in found(text)] == [False]
    assert found(text, "ignore-comment") == []


@pytest.mark.parametrize(
    ("comment", "words"),
    [
        ("ignore health-by-proxy", "no reason"),
        ("ignore health-by-proxy:", "no reason"),
        ("ignore health-by-proxy:   ", "no reason"),
        ("ignore: it is fine", "names no rule"),
        ("ignore health: it is fine", "health is no rule"),
    ],
)
def test_a_comment_without_rule_or_reason_is_a_finding_itself(comment: str, words: str) -> None:
    text = f"# cakravia-lint: {comment}\n{HEALTH}"
    assert words in found(text, "ignore-comment")[0].found
    assert found(text)[0].counts


def test_a_comment_reaches_no_further_than_its_block() -> None:
    text = f"# cakravia-lint: ignore host-not-passed: a test\nserver {{ listen 80; }}\nserver {{\n{HEALTH}}}"
    assert found(text, "host-not-passed")[0].counts


def test_text_says_why_and_what_to_do_once_for_each_rule() -> None:
    findings = lint(parse_text(f"server {{ {HEALTH} }} server {{ {HEALTH} }}"))
    text = "\n".join(text_lines(findings, ["x.conf is not in the dump"]))
    assert text.count("health-by-proxy\n") == 2
    assert text.count("docs/LINT.md#health-by-proxy") == 1
    assert "not read: x.conf" in text
    assert text.endswith(summary(findings))


def test_sarif_is_valid_and_suppresses_what_is_ignored() -> None:
    text = f"# cakravia-lint: ignore health-by-proxy: the balancer asks\n{HEALTH}"
    log = as_sarif(lint(parse_text(text, name="/etc/nginx/my site.conf")))
    jsonschema.Draft202012Validator(LOG).validate(log)
    results = {each["ruleId"]: each for each in log["runs"][0]["results"]}
    assert results["health-by-proxy"]["suppressions"] == [{"kind": "inSource", "justification": "the balancer asks"}]
    place = results["host-not-passed"]["locations"][0]["physicalLocation"]
    assert (place["artifactLocation"]["uri"], place["region"]) == ("file:///etc/nginx/my%20site.conf", {"startLine": 5})
    assert len(log["runs"][0]["tool"]["driver"]["rules"]) == len(RULES) + 1


@pytest.mark.slow
def test_a_log_is_what_the_published_schema_of_sarif_says(tmp_path: Path) -> None:
    """The schema comes from an npm package whose licence is MIT."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("there is no npm on the PATH")
    command = [npm, "install", "--silent", "--no-save", "--prefix", str(tmp_path), "@microsoft/jest-sarif"]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    (file,) = tmp_path.glob("node_modules/@microsoft/jest-sarif/**/sarif-2.1.0*.json")
    text = f"# cakravia-lint: ignore health-by-proxy: the balancer asks\n{HEALTH}"
    log = as_sarif(lint(parse_text(text, name="/etc/nginx/my site.conf")))
    jsonschema.Draft4Validator(json.loads(file.read_text(encoding="utf-8"))).validate(log)


def test_a_name_that_sarif_does_not_know_is_found() -> None:
    log = as_sarif(lint(parse_text(HEALTH)))
    log["runs"][0]["results"][0]["severity"] = "error"
    with pytest.raises(jsonschema.ValidationError, match="severity"):
        jsonschema.Draft202012Validator(LOG).validate(log)


def test_json_says_whether_all_is_well() -> None:
    assert as_json(lint(parse_text(HEALTH)), [])["is_ok"] is False
    well = as_json(lint(parse_text("server { listen 80; }")), [])
    assert (well["is_ok"], well["findings"], json.loads(json.dumps(well))["rules"]) == (True, [], len(RULES))


def test_every_rule_says_what_must_hold_why_and_what_to_write() -> None:
    for rule in RULES:
        assert all(len(text) > 15 for text in (rule.title, rule.reason, rule.remedy)), rule.id
        assert rule.title[0].isupper()
        assert not rule.title.endswith(".")
