"""The monitor's own port: who may read, who may act, and that strangers cost nothing."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cakravia_verify.monitor.alerts import book
from cakravia_verify.monitor.alerts.model import Alert, State
from cakravia_verify.monitor.web.access import is_password, is_token, new_password, new_token
from cakravia_verify.monitor.web.doorbell import Doorbell
from cakravia_verify.monitor.web.server import MOST_BODY, MOST_CONNECTIONS, WebParts, WebServer
from cakravia_verify.settings.monitor import MonitorSettings
from cakravia_verify.slots import Address
from tests.ports import free_ports

pytestmark = pytest.mark.check
PASSWORD, TOKEN = new_password(), new_token()
READER = ("monitor", PASSWORD.text)
ACTOR = {"X-Monitor-Token": TOKEN.text}


class Port:
    """The server of a monitor with one open alert, and what it was told to do."""

    def __init__(self, folder: Path, *, actions: str, stream_seconds: float = 60.0) -> None:
        (port,) = free_ports(1)
        self.address = Address("127.0.0.1", port)
        self.bell = Doorbell()
        self.done: list[str] = []
        self.database = book.open_book(folder)
        self.reset()
        settings = MonitorSettings(password=PASSWORD.hashed, listen=str(self.address), actions=actions)
        parts = WebParts(
            settings, self.database, self.bell, lambda: ("text/plain", b"m 1\n"), self.done.append, stream_seconds
        )
        self.server = WebServer(self.address, parts)

    def reset(self) -> None:
        """Open the alert anew, and forget what was done."""
        alert = Alert("site", State.FIRING, is_open=True, episode=1)
        self.database.transact(lambda connection: book.save_alerts(connection, [alert]))
        self.database.transact(lambda connection: connection.execute("DELETE FROM silences"))
        self.database.transact(lambda connection: connection.execute("DELETE FROM acknowledgements"))
        self.done.clear()

    def url(self, path: str) -> str:
        return f"http://{self.address}{path}"

    def get(self, path: str, **options: object) -> httpx.Response:
        return httpx.get(self.url(path), trust_env=False, **({"auth": READER} | options))  # type: ignore[arg-type]

    def act(self, body: object, **options: object) -> httpx.Response:
        given = {"auth": READER, "headers": ACTOR, "json": body} | options
        return httpx.post(self.url("/act"), trust_env=False, **given)  # type: ignore[arg-type]


@contextlib.contextmanager
def opened(folder: Path, **options: Any) -> Iterator[Port]:
    port = Port(folder, **({"actions": TOKEN.hashed} | options))
    port.server.begin()
    try:
        yield port
    finally:
        port.server.end()
        port.database.close()


@pytest.fixture(scope="module")
def one_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Port]:
    with opened(tmp_path_factory.mktemp("port")) as made:
        yield made


@pytest.fixture
def port(one_port: Port) -> Port:
    one_port.reset()
    return one_port


@pytest.mark.parametrize("path", ["/metrics", "/events", "/", "/monitor.json", "/../etc/passwd"])
@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic",
        "Basic !!!",
        "Bearer x",
        f"Basic {base64.b64encode(b'monitor:wrong').decode()}",
        f"Basic {base64.b64encode(f'root:{PASSWORD.text}'.encode()).decode()}",
        f"Basic {base64.b64encode(bytes(range(128, 200))).decode()}",
    ],
    # The password is another one in every process of the run.
    ids=["none", "no-credentials", "no-base64", "bearer", "wrong-password", "wrong-user", "no-text"],
)
def test_nothing_but_liveness_is_told_without_the_password(path: str, header: str, port: Port) -> None:
    answer = port.get(path, auth=None, headers={"Authorization": header} if header else {})
    assert answer.status_code == 401
    assert "m 1" not in answer.text


def test_liveness_needs_no_password(port: Port) -> None:
    assert port.get("/live", auth=None).text == "ok\n"


def test_metrics_are_told_with_the_password(port: Port) -> None:
    assert port.get("/metrics").text == "m 1\n"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "localhost:1", "[::1]"])
def test_a_name_of_a_stranger_is_no_way_in(host: str, port: Port) -> None:
    assert port.get("/metrics", headers={"Host": host}).status_code == 421


def test_no_answer_may_be_read_by_another_origin(port: Port) -> None:
    for path in ("/live", "/metrics", "/nowhere"):
        answer = port.get(path, headers={"Origin": "https://evil.example"})
        assert not [name for name in answer.headers if name.startswith("access-control-")]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"])
def test_other_methods_are_refused(method: str, port: Port) -> None:
    assert httpx.request(method, port.url("/act"), auth=READER, trust_env=False).status_code == 501


def test_an_alert_is_acknowledged_by_the_token(port: Port) -> None:
    answer = port.act({"act": "acknowledge", "name": "site", "reason": "on it"})
    assert (answer.status_code, answer.json()["text"]) == (200, "site is acknowledged")
    known = port.database.transact(book.acknowledgements)
    assert known == {("site", 1): "the page: on it"}
    assert port.done == ["site is acknowledged"]


def test_a_silence_is_made_once_and_ended(port: Port) -> None:
    for _ in range(3):
        assert port.act({"act": "silence", "name": "disk", "hours": 1, "reason": "known"}).status_code == 200
    (silence,) = port.database.transact(lambda connection: book.silences(connection, now=time.time()))
    assert (silence.pattern, silence.reason, silence.who) == ("disk", "known", "the page")
    assert port.act({"act": "unsilence", "name": str(silence.number)}).status_code == 200
    assert port.act({"act": "unsilence", "name": str(silence.number)}).status_code == 400


@pytest.mark.parametrize(
    "headers",
    [{}, {"X-Monitor-Token": "wrong"}, {**ACTOR, "Sec-Fetch-Site": "cross-site"}, {"X-Monitor-Token": "\xff"}],
)
def test_nothing_is_done_without_the_token(headers: dict[str, str], port: Port) -> None:
    raw = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
    assert port.act({"act": "acknowledge", "name": "site"}, headers=raw).status_code == 403
    assert port.done == []


def test_nothing_is_done_when_the_settings_name_no_token(quick_folder: Path) -> None:
    with opened(quick_folder, actions="") as port:
        assert port.act({"act": "acknowledge", "name": "site"}).status_code == 403
        assert port.act({"act": "acknowledge", "name": "site"}, headers={"X-Monitor-Token": ""}).status_code == 403


def test_a_form_of_another_site_cannot_act(port: Port) -> None:
    plain = {**ACTOR, "Content-Type": "text/plain"}
    body = json.dumps({"act": "acknowledge", "name": "site"})
    assert port.act(None, json=None, content=body, headers=plain).status_code == 415


@pytest.mark.parametrize(
    "body",
    [
        [],
        "x",
        {},
        {"act": "drop"},
        {"act": "acknowledge", "name": "nowhere"},
        {"act": "silence", "name": "", "hours": 1},
        {"act": "silence", "name": "disk", "hours": -1},
        {"act": "silence", "name": "disk", "hours": 1e9},
        {"act": "silence", "name": "disk", "hours": True},
        {"act": "silence", "name": "disk", "hours": "2"},
        {"act": "silence", "name": ["disk"], "hours": 2},
        {"act": "silence", "name": "x" * 101, "hours": 2},
        {"act": "silence", "name": "disk\n", "hours": 2},
        {"act": "unsilence", "name": "1; DROP TABLE silences"},
        {"act": "unsilence", "name": "٣"},
    ],
)
def test_an_odd_body_is_refused_and_changes_nothing(body: object, port: Port) -> None:
    assert port.act(body).status_code == 400
    assert port.done == []


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[" * 4000, b'{"hours": NaN, "act": "silence", "name": "x"}', b""])
def test_a_broken_body_is_refused(content: bytes, port: Port) -> None:
    headers = {**ACTOR, "Content-Type": "application/json"}
    assert port.act(None, json=None, content=content, headers=headers).status_code == 400


def test_a_large_body_is_not_read(port: Port) -> None:
    head = (
        f"POST /act HTTP/1.1\r\nHost: {port.address}\r\nContent-Type: application/json\r\n"
        f"Authorization: Basic {base64.b64encode(':'.join(READER).encode()).decode()}\r\n"
        f"X-Monitor-Token: {TOKEN.text}\r\nContent-Length: {{length}}\r\n\r\n"
    )
    for length, status in ((str(MOST_BODY + 1), b"413"), ("9" * 30, b"413"), ("-1", b"411"), ("x", b"411")):
        with socket.create_connection((port.address.host, port.address.port), 10) as client:
            client.sendall(head.format(length=length).encode())
            assert client.recv(100).startswith(b"HTTP/1.1 " + status)


def test_a_ring_reaches_every_open_page(port: Port) -> None:
    heard: list[str] = []
    ready = threading.Barrier(51)

    def listen() -> None:
        with httpx.stream("GET", port.url("/events"), auth=READER, trust_env=False, timeout=20) as answer:
            lines = answer.iter_lines()
            assert next(lines) == "retry: 1000"
            ready.wait(20)
            heard.append(next(line for line in lines if line.startswith("data:")))

    listeners = [threading.Thread(target=listen, daemon=True) for _ in range(50)]
    for each in listeners:
        each.start()
    ready.wait(20)
    port.bell.ring()
    for each in listeners:
        each.join(20)
    assert heard == [f"data: {port.bell.number}"] * 50


def test_too_many_connections_are_turned_away_and_a_free_place_is_used_again(port: Port) -> None:
    address = (port.address.host, port.address.port)
    held = [socket.create_connection(address, 10) for _ in range(MOST_CONNECTIONS)]
    try:
        ends = time.monotonic() + 10
        while not _is_turned_away(address) and time.monotonic() < ends:
            time.sleep(0.01)
        assert _is_turned_away(address)
    finally:
        for each in held:
            each.close()
    ends = time.monotonic() + 10
    while True:
        with contextlib.suppress(httpx.HTTPError):
            assert port.get("/live").status_code == 200
            return
        assert time.monotonic() < ends


def _is_turned_away(address: tuple[str, int]) -> bool:
    with socket.create_connection(address, 10) as client:
        client.settimeout(0.3)
        try:
            return client.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False


def test_pages_that_are_open_do_not_hold_up_the_end(quick_folder: Path) -> None:
    with opened(quick_folder) as port, httpx.stream("GET", port.url("/events"), auth=READER, trust_env=False) as answer:
        lines = answer.iter_lines()
        next(lines)
        port.server.end()
        assert [line for line in lines if line.startswith("data:")] in ([], ["data: 0"])


def test_a_stream_ends_by_itself_so_that_workers_of_nginx_can(quick_folder: Path) -> None:
    with (
        opened(quick_folder, stream_seconds=0.2) as port,
        httpx.stream("GET", port.url("/events"), auth=READER, trust_env=False, timeout=20) as answer,
    ):
        lines = list(answer.iter_lines())
    assert "retry: 1000" in lines


def test_an_answer_does_not_name_the_program(port: Port) -> None:
    assert "Python" not in port.get("/live").headers["Server"]


def test_hashes_hold_their_secret_and_no_other() -> None:
    assert is_password(PASSWORD.text, PASSWORD.hashed)
    assert is_token(TOKEN.text, TOKEN.hashed)
    for hashed in ("", "{SSHA}", "{SSHA}x", PASSWORD.hashed.removeprefix("{SSHA}"), "sha256:", TOKEN.hashed):
        assert not is_password("", hashed)
        assert not is_password(TOKEN.text, hashed)
    for hashed in ("", "sha256:", PASSWORD.hashed):
        assert not is_token("", hashed)


@pytest.mark.parametrize(
    "given",
    [
        {"listen": "127.0.0.1:9464"},
        {"listen": "0.0.0.0:9464", "password": PASSWORD.hashed},
        {"listen": "10.0.0.1:9464", "password": PASSWORD.hashed},
        {"listen": "127.0.0.1:0", "password": PASSWORD.hashed},
        {"actions": TOKEN.hashed, "password": PASSWORD.hashed},
        {"password": "secret"},
        {"password": "{SSHA}x\n"},
    ],
)
def test_settings_that_would_open_too_much_are_refused(given: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"listen|actions|password"):
        MonitorSettings(**given)  # type: ignore[arg-type]


def test_a_disk_that_refuses_is_told(quick_folder: Path) -> None:
    with opened(quick_folder) as port:
        port.database.close()
        port.database.path.unlink()
        port.database.path.mkdir()
        assert port.act({"act": "silence", "name": "disk", "hours": 1}).status_code == 503
