"""When the certificate ends that users really get: read from a handshake, not from a file."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from cakravia_verify.errors import PlatformError
from cakravia_verify.monitor.facts import CertificateFacts
from cakravia_verify.monitor.sampling.source import Collected
from cakravia_verify.monitor.store.samples import MetricSample
from cakravia_verify.slots import Address
from cakravia_verify.system.clock import SYSTEM_CLOCK, Clock

EVERY: Final = 600.0
SECONDS: Final = 5.0
_SEQUENCE, _UTC_TIME, _CONTEXT_0 = 0x30, 0x17, 0xA0


class CertificateSource:
    """Reports the end of the certificate at an address that speaks TLS. None there: nothing to report."""

    name = "certificate"
    every = EVERY
    deadline = 2 * EVERY

    def __init__(self, address: Callable[[], Address | None], *, server_name: str, clock: Clock = SYSTEM_CLOCK) -> None:
        self._address = address
        self._server_name = server_name
        self._clock = clock

    def collect(self) -> Collected:
        address = self._address()
        if address is None:
            return Collected()
        at = self._clock.wall()
        ends_at = end_of(certificate_at(address, server_name=self._server_name))
        return Collected(CertificateFacts(at, ends_at), [MetricSample("certificate/seconds_left", at, ends_at - at)])


def certificate_at(address: Address, *, server_name: str) -> bytes:
    """Return the certificate (DER) that a server shows. Raises PlatformError when there is none to see."""
    context = ssl.create_default_context()
    # Its end is what is read here, also of one that no client would trust.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((address.host, address.port), timeout=SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=server_name or address.host) as secured,
        ):
            shown = secured.getpeercert(binary_form=True)
    except OSError as error:
        raise PlatformError(
            f"no certificate was seen at {address}: {error}", remedy="look at [proxy] tls_listen and at nginx's log"
        ) from error
    if not shown:
        raise PlatformError(f"{address} shows no certificate", remedy="look at [proxy] tls_certificate")
    return shown


def end_of(certificate: bytes) -> float:
    """Return the end of validity in seconds since 1970 (RFC 5280, 4.1). Raises ValueError when it is no certificate."""
    try:
        _, body, _ = _element(certificate, 0)
        tag, fields, _ = _element(body, 0)
        at = 0
        tag, _, after = _element(fields, at)
        # The version comes first when there is one; then serial number, algorithm and issuer.
        for _ in range(4 if tag == _CONTEXT_0 else 3):
            _, _, at = _element(fields, at)
        tag, validity, _ = _element(fields, at)
        _, _, after = _element(validity, 0)
        kind, content, _ = _element(validity, after)
    except IndexError as error:
        raise ValueError("this is no X.509 certificate") from error
    if tag != _SEQUENCE:
        raise ValueError("this is no X.509 certificate")
    text = content.decode("ascii")
    if kind == _UTC_TIME:
        text = ("20" if int(text[:2]) < 50 else "19") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _element(content: bytes, at: int) -> tuple[int, bytes, int]:
    """Return tag, content and end of the DER element at an offset."""
    tag, length, start = content[at], content[at + 1], at + 2
    if length & 0x80:
        size = length & 0x7F
        length = int.from_bytes(content[start : start + size], "big")
        start += size
    if start + length > len(content):
        raise IndexError
    return tag, content[start : start + length], start + length
