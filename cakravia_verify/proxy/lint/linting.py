"""Apply the rules to a configuration. Comments in it can ignore a rule, with a reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from cakravia_verify.foreign_text import one_line
from cakravia_verify.proxy.lint.directives import Directive, IgnoreComment, NginxTree
from cakravia_verify.proxy.lint.model import LintFacts, LintFinding, LintRule, Severity, Spot
from cakravia_verify.proxy.lint.registry import RULES

NO_FACTS = LintFacts()
IGNORE_COMMENT = LintRule(
    id="ignore-comment",
    title="A comment that ignores a rule names the rule and the reason",
    severity=Severity.WARNING,
    reason="without a reason the next reader does not know whether it still holds",
    remedy="write # cakravia-lint: ignore RULE: REASON",
    find=lambda tree, facts: iter(()),
)


def lint(tree: NginxTree, facts: LintFacts = NO_FACTS, *, rules: Sequence[LintRule] = RULES) -> list[LintFinding]:
    """Return every finding in the order of the text, those that a comment ignores as well."""
    found = [*_broken(tree, facts, rules), *_comments_in_doubt(tree)]
    files = {name: number for number, name in enumerate(_files(tree))}
    return sorted(dict.fromkeys(found), key=lambda each: (files.get(each.file, len(files)), each.line, each.rule))


def _broken(tree: NginxTree, facts: LintFacts, rules: Iterable[LintRule]) -> Iterator[LintFinding]:
    for rule in rules:
        for spot in rule.find(tree, facts):
            finding = _finding(rule, spot)
            comment = _ignoring(tree, rule.id, spot.directive)
            yield replace(finding, ignored=comment.reason) if comment else finding


def _finding(rule: LintRule, spot: Spot) -> LintFinding:
    place = spot.directive
    found = one_line(spot.found)
    return LintFinding(rule.id, rule.severity, place.file, place.line, found, rule.reason, rule.remedy, rule.section)


def _ignoring(tree: NginxTree, rule: str, directive: Directive) -> IgnoreComment | None:
    """Return the comment that ignores the rule here: in the line of the directive or of a block around it, or in the
    comments above that line."""
    lines: set[tuple[str, int]] = set()
    for each in (directive, *directive.around):
        lines.add((each.file, each.line))
        above = each.line - 1
        while (each.file, above) in tree.comment_lines:
            lines.add((each.file, above))
            above -= 1
    comments = (each for each in tree.ignores if rule in each.rules and each.reason)
    return next((each for each in comments if (each.file, each.line) in lines), None)


def _comments_in_doubt(tree: NginxTree) -> Iterator[LintFinding]:
    known = {rule.id for rule in RULES}
    for comment in tree.ignores:
        place = Spot(Directive("#", file=comment.file, line=comment.line), "")
        if not comment.rules:
            yield _finding(IGNORE_COMMENT, replace(place, found="the comment names no rule"))
        elif not comment.reason:
            yield _finding(IGNORE_COMMENT, replace(place, found="the comment has no reason, so it ignores nothing"))
        for name in comment.rules:
            if name not in known:
                yield _finding(IGNORE_COMMENT, replace(place, found=f"{name} is no rule"))


def _files(tree: NginxTree) -> Iterator[str]:
    yield tree.root.file
    yield from dict.fromkeys(each.file for each in tree.root.walk())
