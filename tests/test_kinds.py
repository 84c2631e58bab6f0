"""What each kind of session does differently is decided in one module."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cakravia_verify.kinds import DEPLOY, LOAD, ROLLBACK, policy_of

PACKAGE = Path(__file__).parents[1] / "cakravia_verify"
NAMES = {"deploy", "rollback", "load"}
POLICIES = {"DEPLOY", "ROLLBACK", "LOAD"}
KIND = re.compile("|".join(NAMES | POLICIES))


def decisions(tree: ast.Module) -> Iterator[int]:
    """Yield the line of every comparison, mapping key or match case that names a kind of session."""
    for node in ast.walk(tree):
        match node:
            case ast.Compare():
                operands = [node.left, *node.comparators]
            case ast.Dict():
                operands = [key for key in node.keys if key is not None]
            case ast.MatchValue():
                operands = [node.value]
            case _:
                continue
        inner = [part for operand in operands for part in ast.walk(operand)]
        if any(names_a_kind(part) for part in inner):
            yield operands[0].lineno


def decisions_in(source: str) -> Iterator[int]:
    """Most modules name no kind, and need not be parsed."""
    return decisions(ast.parse(source)) if KIND.search(source) else iter(())


def names_a_kind(node: ast.AST) -> bool:
    is_name = isinstance(node, ast.Constant) and node.value in NAMES
    return is_name or (isinstance(node, ast.Name) and node.id in POLICIES)


@pytest.mark.parametrize(
    "source",
    ['kind == "rollback"', '"load" != kind', 'kind in ("deploy", "load")', '{"rollback": 1}[kind]', "policy is LOAD"],
)
def test_a_comparison_with_a_kinds_name_is_found(source: str) -> None:
    assert list(decisions(ast.parse(source)))


def test_no_module_but_kinds_compares_with_a_kinds_name() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}, line {line}"
        for path in sorted(PACKAGE.rglob("*.py"))
        # `deploy` is a key of a compose file and a command as well.
        if path.name not in ("kinds.py", "compose_keys.py", "compose_inner.py", "main.py")
        for line in decisions_in(path.read_text(encoding="utf-8"))
    ]
    assert not found


def test_a_policy_is_found_by_its_name() -> None:
    assert [policy_of(name) for name in ("deploy", "rollback", "load")] == [DEPLOY, ROLLBACK, LOAD]


def test_a_kind_of_a_later_version_is_read_as_a_plain_release() -> None:
    policy = policy_of("something new")
    assert policy.switches_users
    assert not policy.goes_back
    assert not policy.keeps_unproven_target


def test_only_a_rollback_keeps_users_without_a_promotion() -> None:
    assert [policy.keeps_unproven_target for policy in (DEPLOY, ROLLBACK, LOAD)] == [False, True, False]
