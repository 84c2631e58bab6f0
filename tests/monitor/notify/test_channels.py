"""Each channel against a real receiver; no secret is ever told."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from aiosmtpd.controller import Controller

from cakravia_verify.errors import CakraviaError
from cakravia_verify.monitor.notify.alive import AliveCalls
from cakravia_verify.monitor.notify.assembly import open_channel
from cakravia_verify.monitor.notify.channel import NotDelivered
from cakravia_verify.monitor.notify.message import Message, Urgency
from cakravia_verify.settings.monitor import ChannelSettings, NotifySettings
from tests.monitor.notify.receivers import HttpReceiver, http_receiver
from tests.ports import free_ports

MESSAGE = Message("shop-7", "shop", 1_700_000_000.0, "firing", Urgency.PAGE, "shop is down\n: naïve", "café\nis closed")
SECRET = "s3cret-token-value"
# Of its own imports.
APPRISE_WARNS = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def receiver() -> Iterator[HttpReceiver]:
    with http_receiver() as opened:
        yield opened


def sent(folder: Path, **settings: Any) -> None:
    open_channel(ChannelSettings(name="ops", timeout=2.0, **settings), folder).send(MESSAGE)


def test_a_webhook_gets_the_message_as_json_with_its_id(receiver: HttpReceiver, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(SECRET + "\n")
    sent(tmp_path, kind="webhook", url=receiver.url, secret_file="token")
    (body,), (headers,) = receiver.bodies, receiver.headers
    assert (body["id"], body["urgency"], body["text"]) == ("shop-7", "page", "café\nis closed")
    assert headers["Authorization"] == f"Bearer {SECRET}"
    assert headers["X-Cakravia-Message-Id"] == "shop-7"


@pytest.mark.parametrize("status", [301, 400, 404, 500, 503])
def test_an_answer_that_is_no_success_is_no_delivery(status: int, receiver: HttpReceiver, tmp_path: Path) -> None:
    receiver.status_of = lambda _: status
    with pytest.raises(NotDelivered, match=str(status)):
        sent(tmp_path, kind="webhook", url=receiver.url)


@pytest.mark.parametrize("kind", ["webhook", "ntfy"])
def test_a_dead_receiver_is_told_without_its_secrets(kind: str, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    (tmp_path / "url").write_text(f"http://127.0.0.1:{port}/hooks/T0PSECRETPATH?key=abcdef")
    (tmp_path / "token").write_text(SECRET)
    with pytest.raises(NotDelivered) as failure:
        sent(tmp_path, kind=kind, url_file="url", secret_file="token")
    assert not any(part in str(failure.value) for part in ("T0PSECRETPATH", "abcdef", SECRET))


def test_ntfy_publishes_to_the_topic_with_urgent_priority(receiver: HttpReceiver, tmp_path: Path) -> None:
    sent(tmp_path, kind="ntfy", url=receiver.url)
    (body,) = receiver.bodies
    assert (body["topic"], body["priority"], body["title"]) == ("T0PSECRETPATH", 5, MESSAGE.title)
    assert MESSAGE.id in body["message"]


class Inbox:
    """Keeps what a mail server accepted."""

    def __init__(self) -> None:
        self.mails: list[str] = []

    async def handle_DATA(self, _server: object, _session: object, envelope: Any) -> str:  # noqa: N802
        self.mails.append(envelope.content.decode())
        return "250 accepted"


def test_an_email_arrives_with_a_clean_subject_and_the_id(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    inbox = Inbox()
    server = Controller(inbox, hostname="127.0.0.1", port=port)
    server.start()
    try:
        sent(
            tmp_path, kind="smtp", url=f"smtp://127.0.0.1:{port}", sender="monitor@shop.example", to=("ops@x.example",)
        )
    finally:
        server.stop()
    (mail,) = inbox.mails
    assert "X-Cakravia-Message-Id: shop-7" in mail
    assert "Message-ID: <shop-7@shop.cakravia>" in mail
    assert "\nSubject: " in mail


def test_a_mail_server_that_is_down_is_no_delivery(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    with pytest.raises(NotDelivered, match="mail server"):
        sent(tmp_path, kind="smtp", url=f"smtp://127.0.0.1:{port}", sender="a@x.example", to=("b@x.example",))


def test_a_command_gets_the_message_on_its_input(tmp_path: Path) -> None:
    program = "import os, sys; open('got', 'w').write(os.environ['CAKRAVIA_MESSAGE_ID'] + sys.stdin.read())"
    sent(tmp_path, kind="command", command=(sys.executable, "-c", program))
    got = (tmp_path / "got").read_text()
    assert got.startswith("shop-7")
    assert json.loads(got.removeprefix("shop-7"))["title"] == MESSAGE.title


@pytest.mark.parametrize("command", [("false",), ("/no/such/program",)])
def test_a_command_that_fails_is_no_delivery(command: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(NotDelivered):
        sent(tmp_path, kind="command", command=command)


def test_a_command_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    settings = ChannelSettings(
        name="ops", kind="command", command=("sh", "-c", "sleep 77.25 & echo $! > child; wait"), timeout=0.3
    )
    with pytest.raises(NotDelivered, match=r"0\.3 s"):
        open_channel(settings, tmp_path).send(MESSAGE)
    child = int((tmp_path / "child").read_text())
    ends = time.monotonic() + 10
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < ends
        time.sleep(0.01)


@APPRISE_WARNS
def test_apprise_reaches_the_service_of_its_url(receiver: HttpReceiver, tmp_path: Path) -> None:
    sent(tmp_path, kind="apprise", url=receiver.url.replace("http://", "json://"))
    (body,) = receiver.bodies
    assert MESSAGE.id in body["message"]


@APPRISE_WARNS
def test_apprise_that_is_refused_is_no_delivery(receiver: HttpReceiver, tmp_path: Path) -> None:
    receiver.status_of = lambda _: 500
    with pytest.raises(NotDelivered):
        sent(tmp_path, kind="apprise", url=receiver.url.replace("http://", "json://"))


def test_a_secret_file_that_is_missing_names_the_file(receiver: HttpReceiver, tmp_path: Path) -> None:
    with pytest.raises(CakraviaError, match="no-such-file"):
        sent(tmp_path, kind="webhook", url=receiver.url, secret_file="no-such-file")
    assert receiver.bodies == []


@pytest.mark.parametrize("is_well", [True, False])
def test_the_alive_url_is_called_only_while_all_is_well(is_well: bool, receiver: HttpReceiver, tmp_path: Path) -> None:
    asked = threading.Event()

    def answer() -> bool:
        asked.set()
        return is_well

    calls = AliveCalls(NotifySettings(alive_url=receiver.url), tmp_path, is_well=answer, log=lambda _: None)
    calls.start()
    assert asked.wait(10)
    calls.stop()
    calls.join()
    assert len(receiver.bodies) == is_well


def test_a_failed_alive_call_is_logged_without_the_address_path(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    lines: list[str] = []
    settings = NotifySettings(alive_url=f"http://127.0.0.1:{port}/ping/T0PSECRETPATH")
    calls = AliveCalls(settings, tmp_path, is_well=lambda: True, log=lines.append)
    calls.stop()
    calls.run()
    assert len(lines) == 1
    assert "T0PSECRETPATH" not in lines[0]
