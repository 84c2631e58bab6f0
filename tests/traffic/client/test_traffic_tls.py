"""The same client over TLS."""

from __future__ import annotations

import socket
import ssl
import subprocess
from typing import TYPE_CHECKING

import pytest

from cakravia_verify.errors import SettingsError
from cakravia_verify.traffic.client.tls import client_context
from cakravia_verify.traffic.plan.mix import Body, MixEntry

if TYPE_CHECKING:
    from pathlib import Path

    from tests.traffic.client.conftest import MakeSender, Serve


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of its own for 127.0.0.1, with its key in one file."""
    path = tmp_path / "certificate.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    command += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", str(tmp_path / "key.pem"), "-out", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    with path.open("a") as file:
        file.write((tmp_path / "key.pem").read_text())
    return path


def echo(accepted: socket.socket, number: int, head: bytes, body: bytes) -> bool:
    if number == 2:
        return False
    accepted.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    return True


def server_context(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.mark.parametrize("size", [10, 200_000])
def test_requests_over_tls_are_judged_as_over_tcp(
    serve: Serve, sender: MakeSender, certificate: Path, size: int
) -> None:
    entry = MixEntry("x", "POST", body=Body("random", size=size), verify="echo")
    client = sender(serve(echo, tls=server_context(certificate)).url, entry, ca_file=str(certificate))
    client.send_all(5)
    rows = client.finish()
    assert [row.outcome for row in rows] == ["answered", "answered", "lost", "answered", "answered"]
    assert [row.reused for row in rows] == [False, True, True, False, True]


def test_a_server_that_is_not_trusted_is_unreached(serve: Serve, sender: MakeSender, certificate: Path) -> None:
    client = sender(serve(echo, tls=server_context(certificate)).url)
    client.send(0)
    (row,) = client.finish()
    assert row.outcome == "unreached"
    assert row.detail.startswith("TLS: ")


def test_a_file_without_certificates_is_refused_by_its_key(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("")
    with pytest.raises(SettingsError, match="ca_file"):
        client_context(ca_file=str(tmp_path / "empty.pem"), verify=True)
