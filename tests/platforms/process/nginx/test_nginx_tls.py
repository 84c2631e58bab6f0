"""Users who come in by TLS: certificates are taken up, renewed and refused by the real nginx."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from cakravia_verify.errors import UsageError
from cakravia_verify.platforms.process.nginx import LocalNginx
from cakravia_verify.proxy.certificate import Certificate
from cakravia_verify.slots import Colour
from tests.platforms.process.nginx.certificates import Pair, make_pair, served_fingerprint
from tests.platforms.process.nginx.conftest import Front, deadline, free_port


@dataclass(frozen=True)
class Door:
    """A proxy that lets users in by TLS with the pair in `pair`, on `port`; `newer` is what comes after it."""

    proxy: LocalNginx
    port: int
    pair: Pair
    newer: Pair

    def ask(self, trusted: Pair) -> httpx.Response:
        with httpx.Client(verify=trusted.trusted, http2=True, trust_env=False) as client:
            return client.get(f"https://127.0.0.1:{self.port}/")


@pytest.fixture
def door(front: Front, tmp_path: Path) -> Door:
    pair, newer, port = make_pair(tmp_path, "site"), make_pair(tmp_path, "newer"), free_port()
    proxy = front.nginx(
        tls_listen=f"127.0.0.1:{port}", tls_certificate=str(pair.certificate), tls_key=str(pair.key), max_body="1m"
    )
    proxy.start(Colour.BLUE, deadline=deadline())
    return Door(proxy, port, pair, newer)


def test_users_come_in_by_https_and_http2_before_and_after_a_switch(door: Door) -> None:
    seen = []
    for colour in (Colour.BLUE, Colour.GREEN):
        door.proxy.point_at(colour, deadline=deadline())
        answer = door.ask(door.pair)
        seen.append((answer.http_version, answer.headers["X-Served-Slot"]))
    assert seen == [("HTTP/2", "blue"), ("HTTP/2", "green")]


def test_hsts_on_request_is_sent_over_https(door: Door, front: Front) -> None:
    assert "Strict-Transport-Security" not in door.ask(door.pair).headers
    changed = front.nginx(
        tls_listen=f"127.0.0.1:{door.port}",
        tls_certificate=str(door.pair.certificate),
        tls_key=str(door.pair.key),
        security_headers={"strict_transport_security": "max-age=60; preload"},
    )
    changed.refresh(deadline=deadline())
    assert door.ask(door.pair).headers["Strict-Transport-Security"] == "max-age=60; preload"


def test_a_renewed_certificate_is_loaded_by_exactly_one_reload(door: Door) -> None:
    door.pair.take_over(door.newer)
    assert door.proxy.refresh(deadline=deadline())
    assert served_fingerprint(door.port) == door.newer.fingerprint
    assert not door.proxy.refresh(deadline=deadline())


def test_a_certificate_that_does_not_match_its_key_changes_nothing(door: Door) -> None:
    before = door.pair.fingerprint
    door.pair.key.write_bytes(door.newer.key.read_bytes())
    with pytest.raises(UsageError, match=r"(?i)key values mismatch"):
        door.proxy.refresh(deadline=deadline())
    assert served_fingerprint(door.port) == before


@pytest.mark.parametrize("name", ["tls_certificate", "tls_key"])
def test_a_missing_certificate_file_is_named_before_any_change(front: Front, tmp_path: Path, name: str) -> None:
    pair = make_pair(tmp_path, "site")
    files = {"tls_certificate": str(pair.certificate), "tls_key": str(pair.key), name: "/nowhere.pem"}
    proxy = front.nginx(tls_listen=f"127.0.0.1:{free_port()}", **files)
    with pytest.raises(UsageError, match=rf"\[proxy\] {name}: /nowhere\.pem cannot be read"):
        proxy.check()


def test_a_key_with_a_passphrase_is_refused_with_a_remedy(front: Front, tmp_path: Path) -> None:
    pair, locked = make_pair(tmp_path, "site"), tmp_path / "locked.key"
    command = ["openssl", "pkey", "-in", str(pair.key), "-aes256", "-passout", "pass:secret", "-out", str(locked)]
    subprocess.run(command, check=True, capture_output=True)
    proxy = front.nginx(
        tls_listen=f"127.0.0.1:{free_port()}", tls_certificate=str(pair.certificate), tls_key=str(locked)
    )
    with pytest.raises(UsageError, match="has a passphrase") as raised:
        proxy.check()
    assert "openssl pkey" in raised.value.remedy


def test_the_configuration_names_the_certificate_without_the_key(front: Front, door: Door) -> None:
    written = (front.folder / "nginx.conf").read_text() + (front.folder / "nginx.conf.loaded").read_text()
    body = door.pair.key.read_text().splitlines()[1]
    assert body not in written
    certificate = Certificate(door.pair.certificate.read_bytes(), door.pair.key.read_bytes())
    assert certificate.digest in written
    assert body not in repr(certificate)
