"""One request on the wire: its phases, its deadline, and what is said of each failure."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cakravia_verify.monitor.sampling.certificate import certificate_at, end_of
from cakravia_verify.monitor.sampling.prober import PhaseProber
from cakravia_verify.monitor.sampling.rounds import without_names
from cakravia_verify.monitor.store.samples import ProbeOutcome
from cakravia_verify.settings.contract import ContractSettings
from cakravia_verify.settings.models import SiteSettings
from cakravia_verify.slots import Address
from tests.ports import free_ports

GOOD = b'HTTP/1.1 200 OK\r\nContent-Length: 20\r\nX-Deployment-Slot: blue\r\n\r\n{"status":"healthy"}'


@contextmanager
def server(answer: Callable[[socket.socket], None], *, context: ssl.SSLContext | None = None) -> Iterator[Address]:
    """A server on loopback that does with each connection what it is told."""
    (port,) = free_ports(1)
    listening = socket.create_server(("127.0.0.1", port))
    listening.settimeout(0.05)
    is_over = threading.Event()

    def serve() -> None:
        while not is_over.is_set():
            try:
                connection, _ = listening.accept()
            except TimeoutError:
                continue
            try:
                connection.settimeout(5)
                with context.wrap_socket(connection, server_side=True) if context else connection as secured:
                    answer(secured)
            except OSError:
                pass
            finally:
                connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield Address("127.0.0.1", port)
    finally:
        is_over.set()
        thread.join()
        listening.close()


def says(content: bytes) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(content)

    return answer


def drips(connection: socket.socket) -> None:
    connection.recv(65536)
    for byte in GOOD:
        connection.sendall(bytes([byte]))
        time.sleep(0.05)


def prober(timeout: float = 2.0, *, tls: ssl.SSLContext | None = None) -> PhaseProber:
    return PhaseProber(ContractSettings(), timeout=timeout, tls=tls)


def test_a_good_answer_has_its_slot_and_its_phases() -> None:
    with server(says(GOOD)) as address:
        reading, measured = prober().measure(address, "health")
    assert (reading.problem, reading.slot, measured.outcome) == ("", "blue", ProbeOutcome.OK)
    phases = measured.phases
    assert phases.dns == phases.tls == 0
    assert 0 < phases.connect <= measured.total
    assert 0 < phases.first_byte <= measured.total


@pytest.mark.parametrize(
    ("content", "outcome"),
    [
        (b"", ProbeOutcome.BROKEN),
        (b"nonsense\r\n\r\n", ProbeOutcome.BROKEN),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\nhalf", ProbeOutcome.BROKEN),
        (b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", ProbeOutcome.OK),
    ],
)
def test_what_breaks_an_answer_is_a_problem(content: bytes, outcome: ProbeOutcome) -> None:
    with server(says(content)) as address:
        reading, measured = prober().measure(address, "health")
    assert reading.problem
    assert measured.outcome is outcome


def test_an_answer_longer_than_a_mebibyte_is_a_problem() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n"
    with server(says(head + b"x" * 9_000_000)) as address:
        reading, _ = prober(10).measure(address, "health")
    assert "longer" in reading.problem


def test_a_closed_port_is_refused() -> None:
    (port,) = free_ports(1)
    reading, measured = prober().measure(Address("127.0.0.1", port), "health")
    assert (reading.problem, measured.outcome) == ("connection refused", ProbeOutcome.REFUSED)


@pytest.mark.parametrize("answer", [drips, lambda connection: time.sleep(3)], ids=["drips", "silent"])
def test_an_answer_that_takes_too_long_ends_at_the_deadline(answer: Callable[[socket.socket], None]) -> None:
    with server(answer) as address:
        reading, measured = prober(0.4).measure(address, "health")
    assert (reading.problem, measured.outcome) == ("no answer in time", ProbeOutcome.NO_ANSWER)
    assert measured.total < 2


def test_a_name_that_does_not_exist_says_so() -> None:
    reading, measured = prober().measure(Address("no-such-host.invalid", 80), "health")
    assert (reading.problem, measured.outcome) == ("its name is not known", ProbeOutcome.NAME_UNKNOWN)


def test_a_name_has_a_phase_of_its_own() -> None:
    with server(says(GOOD)) as address:
        reading, measured = prober().measure(Address("localhost", address.port), "health")
    assert reading.problem == ""
    assert measured.phases.dns > 0


def test_a_site_that_knows_its_host_only_is_asked_by_that_name(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hush")
    heads: list[str] = []

    def remembers(connection: socket.socket) -> None:
        heads.append(connection.recv(65536).decode())
        connection.sendall(GOOD)

    contract = ContractSettings(headers={"Authorization": "Bearer {file:token}"})
    site = SiteSettings(host="shop.example.com", scheme="https")
    asking = PhaseProber(contract, timeout=2.0, site=site, root=tmp_path)
    with server(remembers) as address:
        reading, _ = asking.measure(address, "health")
    assert reading.problem == ""
    lines = heads[0].split("\r\n")
    assert [line for line in lines if line.lower().startswith("host:")] == ["Host: shop.example.com"]
    assert {"X-Forwarded-Proto: https", "Authorization: Bearer hush"} <= set(lines)


def test_a_missing_file_of_a_header_is_the_problem_of_the_probe(tmp_path: Path) -> None:
    contract = ContractSettings(headers={"Authorization": "Bearer {file:token}"})
    with server(says(GOOD)) as address:
        reading, _ = PhaseProber(contract, timeout=2.0, root=tmp_path).measure(address, "health")
    assert "token cannot be read" in reading.problem


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "20", "-subj", "/CN=shop.example"]
    files = ["-keyout", str(tmp_path / "pem"), "-out", str(tmp_path / "cert")]
    subprocess.run([*command, *files], check=True, capture_output=True)
    (tmp_path / "pem").write_text((tmp_path / "pem").read_text() + (tmp_path / "cert").read_text())
    return tmp_path / "pem"


def test_tls_has_a_phase_and_its_certificate_an_end(certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with server(says(GOOD), context=context) as address:
        reading, measured = prober(tls=without_names()).measure(address, "health")
        ends_at = end_of(certificate_at(address, server_name=""))
    assert reading.problem == ""
    assert measured.phases.tls > 0
    days = (datetime.fromtimestamp(ends_at, UTC) - datetime.now(UTC)).total_seconds() / 86_400
    assert days == pytest.approx(20, abs=0.1)


def test_a_certificate_that_no_client_trusts_fails_the_handshake(certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with server(says(GOOD), context=context) as address:
        reading, measured = prober(tls=ssl.create_default_context()).measure(address, "health")
    assert measured.outcome is ProbeOutcome.TLS_FAILED
    assert "self-signed" in reading.problem


@pytest.mark.parametrize("content", [b"", b"\x30", b"\x30\x03abc", b"-----BEGIN", bytes(200)])
def test_what_is_no_certificate_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="certificate"):
        end_of(content)
