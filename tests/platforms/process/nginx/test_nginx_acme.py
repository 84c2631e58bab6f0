"""A certificate from an ACME server by HTTP-01 (RFC 8555, 8.3), and its renewal, as certbot --webroot does them."""

from __future__ import annotations

import contextlib
import http.client
import threading
from pathlib import Path

from cakravia_verify.proxy.protocol import ADMISSION_SECONDS, Admission
from cakravia_verify.slots import Colour
from cakravia_verify.system.clock import SYSTEM_CLOCK, poll
from tests.platforms.process.nginx.certificates import make_pair, served_fingerprint
from tests.platforms.process.nginx.conftest import Front, ask_over, deadline, free_port

CHALLENGES = "/.well-known/acme-challenge/"
TOKEN = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"
AUTHORIZATION = f"{TOKEN}.9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI"


def challenge(webroot: Path) -> Path:
    """Write what a client of ACME writes: exactly the key authorization, without a line end."""
    file = webroot / CHALLENGES.strip("/") / TOKEN
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(AUTHORIZATION)
    return file


def validated(front: Front) -> tuple[int, bytes]:
    """Ask by plain HTTP for the name, as the ACME server does."""
    answer = front.ask(CHALLENGES + TOKEN, headers={"Host": "new.shop.example"})
    return answer.status, answer.body


def test_a_challenge_is_answered_whatever_else_users_get(front: Front, tmp_path: Path) -> None:
    pair = make_pair(tmp_path, "site")
    webroot = tmp_path / "acme"
    proxy = front.nginx(
        acme_webroot=str(webroot),
        server_names=["shop.example"],
        strangers="close",
        redirects=[{"from": "http", "to": "https"}],
        tls_listen=f"127.0.0.1:{free_port()}",
        tls_certificate=str(pair.certificate),
        tls_key=str(pair.key),
    )
    proxy.start(Colour.BLUE, deadline=deadline())
    assert validated(front)[0] == 404
    file = challenge(webroot)
    assert validated(front) == (200, AUTHORIZATION.encode())
    assert front.ask("/", headers={"Host": "shop.example"}).status == 308
    proxy.set_admission(Admission.MAINTENANCE)
    SYSTEM_CLOCK.sleep(ADMISSION_SECONDS)
    assert validated(front) == (200, AUTHORIZATION.encode())
    (webroot / "secret").write_text("no challenge")
    assert b"no challenge" not in front.ask(f"{CHALLENGES}../../secret", headers={"Host": "shop.example"}).body
    file.unlink()
    assert validated(front)[0] == 404
    assert front.blue.seen == []


def test_a_renewal_beside_users_loses_no_request(front: Front, tmp_path: Path) -> None:
    pair, newer, port, webroot = make_pair(tmp_path, "site"), make_pair(tmp_path, "new"), free_port(), tmp_path / "acme"
    files = {"tls_certificate": str(pair.certificate), "tls_key": str(pair.key)}
    proxy = front.nginx(acme_webroot=str(webroot), tls_listen=f"127.0.0.1:{port}", **files)
    proxy.start(Colour.BLUE, deadline=deadline())
    is_over, answers, lost = threading.Event(), list[int](), list[str]()

    def use() -> None:
        while not is_over.is_set():
            # A new connection for each request: older nginx closes idle ones at a reload.
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", front.port, timeout=10)) as connection:
                try:
                    answers.append(ask_over(connection, "/").status)
                except (OSError, http.client.HTTPException) as error:
                    lost.append(repr(error))

    users = [threading.Thread(target=use) for _ in range(2)]
    for each in users:
        each.start()
    try:
        challenge(webroot)
        assert validated(front) == (200, AUTHORIZATION.encode())
        pair.take_over(newer)
        assert proxy.refresh(deadline=deadline())
        assert served_fingerprint(port) == newer.fingerprint
        count = len(answers)
        poll(lambda: len(answers) > count + 5, deadline=deadline(), every=0.01)
    finally:
        is_over.set()
        for each in users:
            each.join()
    assert (set(answers), lost) == ({200}, [])
