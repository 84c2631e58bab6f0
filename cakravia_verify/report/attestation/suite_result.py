"""The in-toto Statement with the vetted predicate test-result/v0.1, for verifiers that know no predicate of ours.

Source: https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import Field

from cakravia_verify.gate.model import CheckStatus, Exit
from cakravia_verify.history.releases import PROMOTE, PROMOTED
from cakravia_verify.report.attestation.statement import (
    STATEMENT_TYPE,
    Described,
    SignedPart,
    described,
    hex_of,
    policy_digest,
)

if TYPE_CHECKING:
    from cakravia_verify.report.verdict.model import VerdictRecord

TEST_RESULT_TYPE: Final = "https://in-toto.io/attestation/test-result/v0.1"


class SuiteResult(SignedPart):
    """The predicate: each check of the gate is a test. One without a result is a failed one."""

    result: Literal["PASSED", "FAILED"]
    configuration: tuple[Described, ...]
    passed_tests: tuple[str, ...]
    warned_tests: tuple[str, ...] = ()
    failed_tests: tuple[str, ...]


class SuiteStatement(SignedPart):
    """An in-toto Statement v1 about the tests of exactly one artifact."""

    type: Annotated[Literal["https://in-toto.io/Statement/v1"], Field(alias="_type")] = STATEMENT_TYPE
    subject: Annotated[tuple[Described, ...], Field(min_length=1, max_length=1)]
    predicate_type: Literal["https://in-toto.io/attestation/test-result/v0.1"] = TEST_RESULT_TYPE
    predicate: SuiteResult


def suite_statement_of(record: VerdictRecord) -> SuiteStatement:
    """Return the statement about the checks of a release. The result is PASSED only of a promoted release."""
    passed = tuple(check["name"] for check in record["checks"] if check["standing"] == CheckStatus.PASSED)
    failed = tuple(check["name"] for check in record["checks"] if check["standing"] != CheckStatus.PASSED)
    ending = (str(record["decision"]), record["outcome"], record["exit_status"])
    is_good = ending == (PROMOTE, PROMOTED, int(Exit.PROMOTED)) and passed and not failed
    return SuiteStatement(
        subject=(described(record["version"], hex_of(record["digest"])),),
        predicate=SuiteResult(
            result="PASSED" if is_good else "FAILED",
            configuration=(
                described("policy", policy_digest(record)),
                described("settings", hex_of(record["settings_digest"])),
            ),
            passed_tests=passed,
            failed_tests=failed,
        ),
    )
