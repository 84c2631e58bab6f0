"""TLS over bytes that the connection reads and writes."""

from __future__ import annotations

import ssl

from cakravia_verify.errors import SettingsError


class TlsLayer:
    """One TLS session in memory: plain bytes in, encrypted bytes out, and back."""

    def __init__(self, context: ssl.SSLContext, server_name: str) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._session = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name or None)
        self.is_over = False

    def shake_hands(self, received: bytes) -> tuple[bytes, bool]:
        """Return the bytes to send next, and whether the handshake is done. Raises ssl.SSLError for a bad server."""
        self._incoming.write(received)
        try:
            self._session.do_handshake()
        except ssl.SSLWantReadError:
            return self._outgoing.read(), False
        return self._outgoing.read(), True

    def encrypted(self, data: bytes) -> bytes:
        self._session.write(data)
        return self._outgoing.read()

    def decrypted(self, received: bytes | memoryview) -> bytes:
        """Return the decrypted bytes, none while a record is incomplete. `is_over` after the server's close_notify."""
        self._incoming.write(received)
        parts = []
        try:
            while part := self._session.read(1 << 16):
                parts.append(part)
            self.is_over = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.is_over = True
        return b"".join(parts)


def client_context(*, ca_file: str, verify: bool) -> ssl.SSLContext:
    """Return a client's TLS context: it trusts the system's authorities, or `ca_file`'s, or does not verify."""
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"traffic: `ca_file` {ca_file} cannot be used: {error}", remedy="name a readable file of PEM certificates"
        ) from error
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
