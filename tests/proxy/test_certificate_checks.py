"""Certificates that browsers refuse, and the one that is already in use."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from cakravia_verify.errors import UsageError
from cakravia_verify.proxy.certificate import Certificate
from cakravia_verify.proxy.certificate_checks import inspect, require_usable

NOW = datetime(2026, 6, 1, tzinfo=UTC)
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def made(
    *,
    begins: datetime = NOW - timedelta(days=1),
    days: int = 90,
    key: Key | None = None,
    issuer: str = "",
    other_key: bool = False,
    names: tuple[str, ...] = ("shop.example",),
) -> Certificate:
    """Return a pair for shop.example, self-signed or with the name of an issuer."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(named("shop.example"))
        .issuer_name(named(issuer or "shop.example"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = ec.generate_private_key(ec.SECP256R1()) if other_key else key
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Certificate(certificate.public_bytes(serialization.Encoding.PEM), pem)


BAD = {
    "expired": (made(begins=NOW - timedelta(days=900)), "it expired on 2024"),
    "not yet valid": (made(begins=NOW + timedelta(days=1)), "it is not valid before 2026-06-02"),
    "foreign key": (made(other_key=True), "the key belongs to another certificate"),
    "weak": (made(key=rsa.generate_private_key(public_exponent=65537, key_size=1024)), "has 1024 bits"),  # noqa: S505
}


@pytest.mark.parametrize("kind", BAD)
def test_a_new_certificate_that_browsers_refuse_is_not_taken_up(kind: str) -> None:
    certificate, complaint = BAD[kind]
    with pytest.raises(UsageError, match=complaint):
        require_usable(certificate, loaded="# another certificate", now=NOW)


def test_an_expired_certificate_in_use_stops_no_rollback() -> None:
    certificate, _ = BAD["expired"]
    require_usable(certificate, loaded=f"# {certificate.digest}: a renewed certificate", now=NOW)


def test_a_good_certificate_has_neither_problems_nor_warnings() -> None:
    state = inspect(made(), now=NOW)
    assert (state.names, state.problems, state.warnings) == (("shop.example",), (), ())


def test_names_of_the_site_that_a_certificate_lacks_are_told() -> None:
    state = inspect(made(names=("shop.example", "*.shop.example")), now=NOW)
    asked = ("Shop.example", "de.shop.example", "a.de.shop.example", "*.shop.example", "www.example", "www.example")
    assert state.lacks(asked) == ("a.de.shop.example", "www.example")


def test_a_certificate_that_expires_soon_is_a_warning() -> None:
    assert inspect(made(days=8), now=NOW).warnings == ("it expires on 2026-06-08",)


def test_a_chain_without_its_issuer_is_a_warning() -> None:
    assert "put the whole chain into it" in inspect(made(issuer="Some CA"), now=NOW).warnings[0]


def test_a_file_that_is_no_certificate_is_named() -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        inspect(Certificate(b"-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n", made().key), now=NOW)
