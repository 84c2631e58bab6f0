"""`cakravia keys` makes what `cakravia gate --trust` verifies, and the gate needs both verdict and signature."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cakravia_verify.cli.main import main
from cakravia_verify.report.sealing import seal
from cakravia_verify.report.verdict.writing import write_verdict
from tests.report import samples
from tests.report.signed import Signed, key_pair, signed_report

NAMED = ("--version", "v1.2.0", "--digest", samples.NEW_DIGEST)


def cakravia(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(each) for each in arguments])


@pytest.fixture
def signed(tmp_path: Path) -> Signed:
    """A report that was signed a minute ago."""
    ended = datetime.now(UTC) - timedelta(minutes=1)
    return signed_report(tmp_path, replace(samples.promoted(), finished_at=ended.isoformat()))


def test_a_signed_report_passes(signed: Signed) -> None:
    done = cakravia("gate", signed.folder, *NAMED, "--trust", signed.public)
    assert done.exit_code == 0, done.output


def test_one_good_key_of_several_suffices(signed: Signed, tmp_path: Path) -> None:
    _, other = key_pair(tmp_path / "other")
    done = cakravia("gate", signed.folder, *NAMED, "--trust", other, "--trust", signed.public)
    assert done.exit_code == 0, done.output


def test_a_wrong_key_does_not_pass(signed: Signed, tmp_path: Path) -> None:
    _, other = key_pair(tmp_path / "other")
    done = cakravia("gate", signed.folder, *NAMED, "--trust", other)
    assert done.exit_code == 10
    assert "is not signed by a trusted key" in done.output


def test_a_forged_verdict_whose_seal_is_right_does_not_pass(signed: Signed) -> None:
    """Whoever writes to the folder can write a whole new verdict, but cannot sign it."""
    (signed.folder / "requests.csv").write_text("forged")
    (signed.folder / "verdict.json").unlink()
    write_verdict(replace(samples.promoted(), files=seal(signed.folder)), signed.folder)
    assert cakravia("gate", signed.folder, *NAMED).exit_code == 0
    done = cakravia("gate", signed.folder, *NAMED, "--trust", signed.public)
    assert done.exit_code == 10
    assert "its evidence is not that of the report: requests.csv, verdict.json" in done.output


def test_a_report_without_a_signature_is_a_usage_error(signed: Signed) -> None:
    signed.envelope.unlink()
    done = cakravia("gate", signed.folder, *NAMED, "--trust", signed.public)
    assert done.exit_code == 4
    assert "verdict.intoto.json cannot be read" in done.output


def test_a_stale_verdict_does_not_pass(tmp_path: Path) -> None:
    ended = datetime.now(UTC) - timedelta(days=40)
    signed = signed_report(tmp_path, replace(samples.promoted(), finished_at=ended.isoformat()))
    done = cakravia("gate", signed.folder, *NAMED, "--trust", signed.public)
    assert done.exit_code == 10
    assert "older than 30 days" in done.output
    assert cakravia("gate", signed.folder, *NAMED, "--trust", signed.public, "--max-age", "60").exit_code == 0


def test_a_policy_without_a_key_is_a_usage_error(signed: Signed) -> None:
    done = cakravia("gate", signed.folder, *NAMED, "--policy", "sha256:0")
    assert done.exit_code == 4
    assert "--policy needs --trust" in done.output


def test_keys_init_makes_a_private_key_for_its_owner_and_a_public_file(tmp_path: Path) -> None:
    settings = tmp_path / "cakravia.toml"
    settings.write_text('[site]\nname = "staging"\n')
    done = cakravia("--site", settings, "keys", "init", "--days", "30")
    assert done.exit_code == 0, done.output
    private, public = tmp_path / ".cakravia" / "signing.key", tmp_path / "staging.pub.json"
    assert private.stat().st_mode & 0o777 == 0o600
    assert '"site": "staging"' in public.read_text()
    again = cakravia("--site", settings, "keys", "init")
    assert again.exit_code == 4
    assert "exists already" in again.output


def test_a_revoked_key_does_not_pass(signed: Signed) -> None:
    done = cakravia("keys", "revoke", signed.public, "--reason", "laptop stolen")
    assert done.exit_code == 0, done.output
    done = cakravia("gate", signed.folder, *NAMED, "--trust", signed.public)
    assert done.exit_code == 10
    assert "was revoked: laptop stolen" in done.output
