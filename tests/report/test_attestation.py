"""A signed verdict permits exactly one artifact, and every other file or fact is refused with its reason."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cakravia_verify.errors import UsageError
from cakravia_verify.report.attestation.keys import read_signer, read_trusted, revoke
from cakravia_verify.report.attestation.signing import sign_verdict
from cakravia_verify.report.attestation.statement import PREDICATE_TYPE, policy_digest
from cakravia_verify.report.attestation.verification import Wanted, against_report
from cakravia_verify.report.document import ReleaseDocument
from cakravia_verify.report.sealing import fingerprint
from cakravia_verify.report.verdict.file import read_verdict
from cakravia_verify.report.verdict.writing import write_verdict
from tests.report import samples
from tests.report.signed import ENDED, MADE, NOW, Signed, key_pair, signed_report


@pytest.fixture
def signed(tmp_path: Path) -> Signed:
    return signed_report(tmp_path)


def test_the_very_artifact_that_was_promoted_is_permitted(signed: Signed) -> None:
    found = signed.verified()
    assert found.reasons == ()
    assert found.statement is not None
    assert found.statement.digest == samples.NEW_DIGEST


def test_the_payload_is_an_in_toto_statement_in_a_dsse_envelope(signed: Signed) -> None:
    envelope = json.loads(signed.envelope.read_text())
    assert envelope["payloadType"] == "application/vnd.in-toto+json"
    payload = json.loads(base64.b64decode(envelope["payload"]))
    assert payload["_type"] == "https://in-toto.io/Statement/v1"
    assert payload["predicateType"] == PREDICATE_TYPE
    assert payload["subject"] == [{"name": "v1.2.0", "digest": {"sha256": samples.NEW_DIGEST.removeprefix("sha256:")}}]
    assert payload["predicate"]["counts"]["lost"] == 0


def test_other_verifiers_get_the_same_checks_in_the_vetted_predicate(signed: Signed) -> None:
    envelope = json.loads((signed.folder / "test-result.intoto.json").read_text())
    payload = json.loads(base64.b64decode(envelope["payload"]))
    assert payload["_type"] == "https://in-toto.io/Statement/v1"
    assert payload["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    assert (
        payload["subject"]
        == json.loads(base64.b64decode(json.loads(signed.envelope.read_text())["payload"]))["subject"]
    )
    predicate = payload["predicate"]
    assert (predicate["result"], predicate["failedTests"], predicate["warnedTests"]) == ("PASSED", [], [])
    assert set(predicate["passedTests"]) == set(signed.statement()["predicate"]["checks"])
    assert [each["name"] for each in predicate["configuration"]] == ["policy", "settings"]


@pytest.mark.parametrize("sample", [samples.rolled_back, samples.inconclusive])
def test_no_other_verifier_takes_a_release_that_was_not_promoted(
    sample: Callable[[], ReleaseDocument], tmp_path: Path
) -> None:
    signed = signed_report(tmp_path, sample())
    payload = json.loads(
        base64.b64decode(json.loads((signed.folder / "test-result.intoto.json").read_text())["payload"])
    )
    assert payload["predicate"]["result"] == "FAILED"
    assert payload["predicate"]["failedTests"]


def test_the_second_envelope_is_not_taken_for_the_verdict(signed: Signed) -> None:
    (signed.folder / "test-result.intoto.json").replace(signed.envelope)
    assert any("release-verdict/v1" in reason for reason in signed.verified().reasons)


def test_the_signature_is_that_of_dsse_and_of_the_key(signed: Signed) -> None:
    """Any verifier of DSSE can check it: ed25519 over the pre-authentication encoding."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    envelope = json.loads(signed.envelope.read_text())
    payload, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"].encode()
    encoded = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
    public = json.loads(signed.public.read_text())["ed25519"]
    signature = base64.b64decode(envelope["signatures"][0]["sig"])
    Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(signature, encoded)


def test_the_statement_belongs_to_the_report_beside_it(signed: Signed) -> None:
    read, statement = read_verdict(signed.folder), signed.verified().statement
    assert statement is not None
    sealed = {"verdict.json": fingerprint(read.path), **read.files}
    assert against_report(statement, release=read.release, sealed=sealed) == []


@pytest.mark.parametrize("name", ["verdict.json", "requests.csv"])
def test_edited_evidence_does_not_belong_to_the_statement(signed: Signed, name: str) -> None:
    read, statement = read_verdict(signed.folder), signed.verified().statement
    assert statement is not None
    sealed = {"verdict.json": fingerprint(read.path), **read.files, name: "0" * 64}
    assert name in " ".join(against_report(statement, release=read.release, sealed=sealed))


def test_the_envelope_of_another_release_is_no_proof_for_this_report(signed: Signed) -> None:
    read, statement = read_verdict(signed.folder), signed.verified().statement
    assert statement is not None
    assert "is signed for the release" in against_report(statement, release="another", sealed=dict(read.files))[0]


def test_a_release_without_an_artifact_is_not_signed(tmp_path: Path) -> None:
    private, _ = key_pair(tmp_path)
    write_verdict(samples.empty(), tmp_path)
    assert sign_verdict(tmp_path, read_signer(private)) is None
    assert not (tmp_path / "verdict.intoto.json").exists()


# What is wanted differs from what is signed.


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (Wanted("v1.2.1"), "it is for version 'v1.2.0', not 'v1.2.1'"),
        (Wanted(""), "it is for version 'v1.2.0', not ''"),
        (Wanted("v1.2.0", digest=samples.OLD_DIGEST), "it is for the artifact"),
        (Wanted("v1.2.0", digest=samples.NEW_DIGEST.upper()), "it is for the artifact"),
        (Wanted("v1.2.0", policy="sha256:" + "0" * 64), "the release was held to the policy"),
        (Wanted("v1.2.0", days=0.01), "it is older than 0.01 days"),
    ],
    ids=["other-version", "no-version", "other-digest", "digest-in-capitals", "other-policy", "too-old-for-the-wish"],
)
def test_a_verdict_on_something_else_is_refused(signed: Signed, wanted: Wanted, reason: str) -> None:
    assert any(reason in each for each in signed.verified(wanted=wanted).reasons)


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        (NOW + timedelta(days=31), "it is older than 30 days"),
        (ENDED - timedelta(minutes=6), "it is from the future"),
        (MADE + timedelta(days=366), "expired on"),
    ],
    ids=["stale", "future-clock", "expired-key"],
)
def test_a_verdict_of_another_time_is_refused(signed: Signed, now: datetime, reason: str) -> None:
    assert any(reason in each for each in signed.verified(now=now).reasons)


def test_clocks_that_differ_by_a_minute_are_no_reason(signed: Signed) -> None:
    assert signed.verified(now=ENDED - timedelta(minutes=1)).reasons == ()


@pytest.mark.parametrize("days", [0.0, -1.0, float("nan"), float("inf"), 1e12])
def test_an_age_of_nonsense_is_a_usage_error(days: float) -> None:
    with pytest.raises(UsageError, match="is no age"):
        Wanted("v1.2.0", days=days)


# The key is not one that is believed.


def test_a_wrong_key_is_refused(signed: Signed, tmp_path: Path) -> None:
    _, other = key_pair(tmp_path / "other")
    found = signed.verified(trust=other)
    assert found.statement is None
    assert "is not signed by a trusted key" in found.reasons[0]


def test_a_revoked_key_is_refused_with_the_reason(signed: Signed) -> None:
    revoke(signed.public, reason="laptop stolen")
    assert any("was revoked: laptop stolen" in each for each in signed.verified().reasons)


def test_a_key_of_another_site_is_refused(signed: Signed) -> None:
    signed.public.write_text(signed.public.read_text().replace('"shop"', '"other"'))
    assert any("is of the site 'other'" in each for each in signed.verified().reasons)


def test_a_release_from_before_the_key_was_made_is_refused(tmp_path: Path) -> None:
    long_ago = replace(samples.promoted(), finished_at=(MADE - timedelta(days=1)).isoformat())
    signed = signed_report(tmp_path, long_ago)
    found = signed.verified(wanted=Wanted("v1.2.0", days=200))
    assert any("ended before the key" in each for each in found.reasons)


def test_a_private_key_is_not_taken_for_a_public_one(signed: Signed) -> None:
    with pytest.raises(UsageError, match="is a private key"):
        read_trusted(signed.private)


@pytest.mark.parametrize(
    "content",
    ["", "{}", "[]", "null", '{"format": "cakravia-key/2"}', '{"site": "a", "site": "b"}', "\x00", "[" * 100_000],
)
def test_a_file_that_is_no_key_is_refused_in_words(tmp_path: Path, content: str) -> None:
    (tmp_path / "key").write_text(content)
    with pytest.raises(UsageError, match="is no public key"):
        read_trusted(tmp_path / "key")


def test_a_private_key_that_others_can_read_signs_nothing(signed: Signed) -> None:
    signed.private.chmod(0o640)
    with pytest.raises(UsageError, match="others can read"):
        read_signer(signed.private)


def test_keys_are_never_overwritten(signed: Signed) -> None:
    before = signed.private.read_bytes()
    with pytest.raises(UsageError, match="exists already"):
        key_pair(signed.private.parent)
    assert signed.private.read_bytes() == before


def test_the_private_key_is_readable_by_its_owner_alone(signed: Signed) -> None:
    assert signed.private.stat().st_mode & 0o777 == 0o600


# The envelope was changed.


def _flip(envelope: dict[str, Any]) -> None:
    payload = json.loads(base64.b64decode(envelope["payload"]))
    payload["predicate"]["decision"] = "PROMOTE!"
    envelope["payload"] = base64.b64encode(json.dumps(payload).encode()).decode()


def _other_keyid(envelope: dict[str, Any]) -> None:
    envelope["signatures"][0]["keyid"] = "0" * 64


def _other_signature(envelope: dict[str, Any]) -> None:
    envelope["signatures"][0]["sig"] = base64.b64encode(bytes(64)).decode()


def _short_signature(envelope: dict[str, Any]) -> None:
    envelope["signatures"][0]["sig"] = base64.b64encode(b"short").decode()


@pytest.mark.parametrize("change", [_flip, _other_keyid, _other_signature, _short_signature])
def test_an_edited_envelope_is_not_signed(signed: Signed, change: Callable[[dict[str, Any]], object]) -> None:
    signed.edit(change)
    found = signed.verified()
    assert found.statement is None
    assert "is not signed by a trusted key" in found.reasons[0]


def _two_of_one_key(envelope: dict[str, Any]) -> None:
    envelope["signatures"] *= 2


@pytest.mark.parametrize(
    "change",
    [
        lambda envelope: envelope.pop("payload"),
        lambda envelope: envelope.pop("signatures"),
        lambda envelope: envelope.update(signatures=[]),
        lambda envelope: envelope.update(signatures={}),
        lambda envelope: envelope.update(payloadType="text/plain"),
        lambda envelope: envelope.update(payload=7),
        lambda envelope: envelope.update(payload="not base64!"),
        lambda envelope: envelope.update(another="field"),
        _two_of_one_key,
    ],
)
def test_a_broken_envelope_is_a_usage_error(signed: Signed, change: Callable[[dict[str, Any]], object]) -> None:
    signed.edit(change)
    with pytest.raises(UsageError, match="is no signed verdict"):
        signed.verified()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: b"",
        lambda content: content[:-20],
        lambda content: content + content,
        lambda content: b"[" + content + b"," + content + b"]",
        lambda content: content.replace(b'"payload":', b'"payload": "", "payload":'),
        lambda content: b"\xff\xfe" + content,
        lambda content: b"[" * 100_000,
    ],
    ids=["empty", "truncated", "two-statements", "a-list-of-two", "one-name-twice", "no-utf-8", "nested-too-deeply"],
)
def test_a_spoilt_file_is_a_usage_error(signed: Signed, spoil: Callable[[bytes], bytes]) -> None:
    signed.envelope.write_bytes(spoil(signed.envelope.read_bytes()))
    with pytest.raises(UsageError, match="is no signed verdict"):
        signed.verified()


def test_a_missing_file_is_a_usage_error(signed: Signed) -> None:
    signed.envelope.unlink()
    with pytest.raises(UsageError, match="cannot be read"):
        signed.verified()


def test_a_link_instead_of_the_file_is_refused(signed: Signed) -> None:
    elsewhere = signed.envelope.rename(signed.folder / "elsewhere.json")
    signed.envelope.symlink_to(elsewhere)
    with pytest.raises(UsageError, match="it is a link"):
        signed.verified()


def test_a_fifo_instead_of_the_file_is_refused_at_once(signed: Signed) -> None:
    signed.envelope.unlink()
    os.mkfifo(signed.envelope)
    with pytest.raises(UsageError, match="no regular file"):
        signed.verified()


def test_a_folder_instead_of_the_file_is_refused(signed: Signed) -> None:
    signed.envelope.unlink()
    signed.envelope.mkdir()
    with pytest.raises(UsageError, match="no regular file"):
        signed.verified()


def test_a_file_larger_than_any_statement_is_refused(signed: Signed) -> None:
    with signed.envelope.open("r+b") as file:
        file.truncate(5 * 1024 * 1024)
    with pytest.raises(UsageError, match="is larger than"):
        signed.verified()


# The trusted site signed something that promotes nothing.


@pytest.mark.parametrize(
    "sample", [samples.rolled_back, samples.inconclusive, samples.unproven, samples.needs_a_person]
)
def test_a_signed_verdict_that_does_not_promote_is_refused(
    tmp_path: Path, sample: Callable[[], ReleaseDocument]
) -> None:
    document = sample()
    found = signed_report(tmp_path, document).verified(wanted=Wanted(document.version))
    assert any("the decision is" in each for each in found.reasons)
    assert any("the release ended" in each for each in found.reasons)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda value: value.update(predicateType="https://slsa.dev/provenance/v1"), "predicateType"),
        (lambda value: value.update(_type="https://in-toto.io/Statement/v0.1"), "_type"),
        (lambda value: value.update(subject=[]), "subject"),
        (lambda value: value.update(subject=value["subject"] * 2), "subject"),
        (lambda value: value["subject"][0].update(digest={"md5": "0" * 32}), "digest"),
        (lambda value: value["predicate"].pop("decision"), "decision"),
        (lambda value: value["predicate"].update(another=1), "another"),
        (lambda value: value["predicate"].update(finishedOn="2026-05-04T02:11:39"), "finishedOn"),
    ],
    ids=["other-predicate", "other-type", "none", "two-subjects", "md5", "no-decision", "unknown-name", "no-time-zone"],
)
def test_another_statement_of_the_trusted_key_is_refused(
    signed: Signed, change: Callable[[dict[str, Any]], object], reason: str
) -> None:
    signed.sign_again(change)
    found = signed.verified()
    assert found.statement is None
    assert "holds no release-verdict/v1" in found.reasons[0]
    assert reason in found.reasons[0]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda value: value["predicate"].update(checks={}), "there are no checks"),
        (lambda value: value["predicate"]["checks"].update(lost="unknown"), "did not pass: lost"),
        (lambda value: value["predicate"]["counts"].update(sent=0), "no request was measured"),
        (lambda value: value["predicate"]["counts"].update(sent=None), "no request was measured"),
        (lambda value: value["predicate"].update(exitStatus=10), "with exit status 10"),
        (lambda value: value["subject"][0].update(name="v9"), "its subject is 'v9'"),
    ],
    ids=["no-checks", "unknown-check", "nothing-sent", "not-measured", "other-exit-status", "other-subject"],
)
def test_a_statement_without_its_evidence_is_refused(
    signed: Signed, change: Callable[[dict[str, Any]], object], reason: str
) -> None:
    signed.sign_again(change)
    assert any(reason in each for each in signed.verified().reasons)


def test_a_looser_budget_is_another_policy(signed: Signed) -> None:
    record = read_verdict(signed.folder).raw
    same = f"sha256:{policy_digest(record)}"
    assert signed.verified(wanted=Wanted("v1.2.0", policy=same)).reasons == ()
    record["budget"]["lost"] = 5
    assert f"sha256:{policy_digest(record)}" != same


def test_a_check_that_is_not_required_any_more_is_another_policy(signed: Signed) -> None:
    record = read_verdict(signed.folder).raw
    before = policy_digest(record)
    record["evidence"]["required"].popitem()
    assert policy_digest(record) != before
