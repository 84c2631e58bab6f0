"""Configurations with words missing, doubled or out of place: they are linted or refused in words, and never crash."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as some

from cakravia_verify.errors import UsageError
from cakravia_verify.proxy.lint.effects import effects_of
from cakravia_verify.proxy.lint.linting import lint
from cakravia_verify.proxy.lint.model import LintFacts
from cakravia_verify.proxy.lint.parsing import parse_text
from cakravia_verify.proxy.lint.reports import as_json, as_sarif, text_lines

FILES = [path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parent.glob("*/*.conf"))]
WORDS = sorted({word for text in FILES for word in re.findall(r"[^\s;{}]+|[;{}]", text)} | {"$", "$a", '""', "-1", "é"})
FACTS = LintFacts(app_idle=2.0, grace=1.0, largest_body=10**9, nginx=(1, 20, 0))


@given(
    text=some.sampled_from(FILES),
    at=some.integers(0, 200),
    gone=some.integers(0, 8),
    new=some.lists(some.sampled_from(WORDS), max_size=3),
)
@settings(max_examples=60)
def test_a_damaged_configuration_is_linted_or_refused_in_words(text: str, at: int, gone: int, new: list[str]) -> None:
    words = re.findall(r"\s+|[^\s;{}]+|[;{}]", text)
    place = at % len(words)
    damaged = "".join([*words[:place], " ", " ".join(new), " ", *words[place + gone :]])
    require_findings_or_words(damaged)


def test_directives_without_their_arguments_are_no_crash() -> None:
    seen: set[str] = set()
    for text in FILES:
        for found in re.finditer(r"([a-z_]+)(\s+[^;{}]+)(?=[;{])", text):
            if found[1] not in seen:
                seen.add(found[1])
                require_findings_or_words(text[: found.start(2)] + text[found.end(2) :])


def require_findings_or_words(text: str) -> None:
    with contextlib.suppress(UsageError):
        tree = parse_text(text)
        findings = lint(tree, FACTS)
        assert as_json(findings, [])["rules"]
        assert len(as_sarif(findings)["runs"][0]["results"]) == len(findings)
        assert list(text_lines(findings, tree.unread))
        assert effects_of(tree, tree) == ()
