"""Each rule on a real nginx: broken, users lose, double, or misread something; kept, they do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from cakravia_verify.proxy.lint.linting import lint
from cakravia_verify.proxy.lint.model import LintFacts
from cakravia_verify.proxy.lint.parsing import parse_file
from cakravia_verify.proxy.lint.registry import RULES
from tests.proxy.lint.bench import Proof, as_cases, bench
from tests.proxy.lint.certificates import write_pair
from tests.proxy.lint.proofs_of_answers import ANSWERS
from tests.proxy.lint.proofs_of_limits import LIMITS
from tests.proxy.lint.proofs_of_retries import RETRIES
from tests.proxy.lint.proofs_of_switches import SWITCHES

pytestmark = pytest.mark.real
PROOFS = [*RETRIES, *SWITCHES, *ANSWERS, *LIMITS]
ALWAYS = (
    "retry-non-idempotent",
    "reload-drops-idle",
    "flag-cached",
    "health-by-proxy",
    "truncation-hidden",
    "log-buffered",
)


@pytest.mark.parametrize("proof", as_cases(PROOFS, always=ALWAYS))
def test_a_broken_rule_harms_users_and_a_kept_one_does_not(proof: Proof, tmp_path: Path) -> None:
    broken, broken_rules = outcome(proof, proof.broken, folder=tmp_path / "broken", facts=proof.broken_facts)
    kept, kept_rules = outcome(proof, proof.kept, folder=tmp_path / "kept", facts=None)
    assert (bool(broken), kept) == (True, ""), f"broken: {broken!r}"
    assert (proof.rule in broken_rules, proof.rule in kept_rules) == (True, False)


def outcome(proof: Proof, difference: str, *, folder: Path, facts: LintFacts | None) -> tuple[str, set[str]]:
    """Return the harm to users, and the rules that the linter calls broken."""
    folder.mkdir()
    if proof.rule == "certificate":
        write_pair(folder, "valid", days=30)
        write_pair(folder, "expired", days=-1)
    known = facts or proof.facts
    with bench(proof, difference, folder=folder, facts=known) as running:
        harm = proof.harm(running)
    return harm, {finding.rule for finding in lint(parse_file(folder / "nginx.conf"), known)}


def test_every_rule_has_its_proof() -> None:
    assert sorted(proof.rule for proof in PROOFS) == sorted(rule.id for rule in RULES)
