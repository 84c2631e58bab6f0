"""Signing a verdict: in-toto Statements in DSSE envelopes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from cakravia_verify.report.attestation.statement import PAYLOAD_TYPE, SignedPart, is_artifact, statement_of
from cakravia_verify.report.attestation.suite_result import suite_statement_of
from cakravia_verify.report.sealing import fingerprint
from cakravia_verify.report.verdict.file import read_verdict
from cakravia_verify.report.verdict.model import ENVELOPE_NAME, FILE_NAME, TEST_RESULT_NAME
from cakravia_verify.system.files import write_atomically

if TYPE_CHECKING:
    from securesystemslib.signer import Signer


def sign_verdict(folder: Path, signer: Signer) -> Path | None:
    """Sign the verdict of a report folder. Returns the file, None if the release has no artifact to speak of.

    The statement covers verdict.json and every file that it seals. A second file tells the same checks in the vetted
    predicate of in-toto. Raises UsageError or OSError.
    """
    record = read_verdict(folder).raw
    if not is_artifact(record["digest"]):
        return None
    statement = statement_of(record, verdict_sha256=fingerprint(folder / FILE_NAME))
    file = folder / ENVELOPE_NAME
    write_atomically(file, enveloped(statement, signer), mode=0o644)
    write_atomically(folder / TEST_RESULT_NAME, enveloped(suite_statement_of(record), signer), mode=0o644)
    return file


def enveloped(statement: SignedPart, signer: Signer) -> bytes:
    """Return the content of a file with the signed statement."""
    from securesystemslib.dsse import Envelope

    envelope = Envelope(statement.model_dump_json().encode(), PAYLOAD_TYPE, {})
    envelope.sign(signer)
    return json.dumps(envelope.to_dict(), indent=2).encode() + b"\n"
