"""A report of a promoted release whose verdict is signed, and ways to spoil it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cakravia_verify.report.attestation.keys import make_keys, read_signer, read_trusted
from cakravia_verify.report.attestation.signing import enveloped, sign_verdict
from cakravia_verify.report.attestation.statement import Statement
from cakravia_verify.report.attestation.verification import Verified, Wanted, verify
from cakravia_verify.report.document import ReleaseDocument
from cakravia_verify.report.sealing import seal
from cakravia_verify.report.verdict.model import ENVELOPE_NAME
from cakravia_verify.report.verdict.writing import write_verdict
from tests.report import samples

ENDED = datetime.fromisoformat("2026-05-04T02:11:39.722Z")
MADE = ENDED - timedelta(days=100)
NOW = ENDED + timedelta(hours=1)
WANTED = Wanted("v1.2.0", digest=samples.NEW_DIGEST)


@dataclass(frozen=True)
class Signed:
    """A signed report in a folder, with the pair of keys of its site."""

    folder: Path
    private: Path
    public: Path

    @property
    def envelope(self) -> Path:
        return self.folder / ENVELOPE_NAME

    def verified(self, *, wanted: Wanted = WANTED, now: datetime = NOW, trust: Path | None = None) -> Verified:
        keys = [read_trusted(trust or self.public)]
        return verify(self.envelope, keys, wanted=wanted, now=now.timestamp())

    def statement(self) -> dict[str, Any]:
        found = self.verified().statement
        assert found is not None
        value: dict[str, Any] = json.loads(found.model_dump_json())
        return value

    def sign_again(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Sign a changed statement with the trusted key, as only the signing site itself could."""
        value = self.statement()
        change(value)
        self.envelope.write_bytes(enveloped(Unchecked(value), read_signer(self.private)))

    def edit(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Edit the envelope without the key."""
        value = json.loads(self.envelope.read_text())
        change(value)
        self.envelope.write_text(json.dumps(value))


class Unchecked(Statement):
    """A statement with any content."""

    def __init__(self, content: object) -> None:
        object.__setattr__(self, "_content", json.dumps(content))

    def model_dump_json(self, **_: Any) -> str:
        content: str = object.__getattribute__(self, "_content")
        return content


def key_pair(folder: Path, *, site: str = "shop", made: datetime = MADE, days: float = 365.0) -> tuple[Path, Path]:
    private, public = folder / "signing.key", folder / "shop.pub.json"
    make_keys(private, public, site=site, wall=made.timestamp(), days=days)
    return private, public


def signed_report(folder: Path, document: ReleaseDocument | None = None) -> Signed:
    report, keys = folder / "report", folder / "keys"
    report.mkdir(parents=True)
    private, public = key_pair(keys)
    for name in ("report.html", "junit.xml", "ledger.json", "requests.csv", "access.log"):
        (report / name).write_text(name)
    write_verdict(replace(document or samples.promoted(), files=seal(report)), report)
    sign_verdict(report, read_signer(private))
    return Signed(report, private, public)
