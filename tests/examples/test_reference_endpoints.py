"""What users of the reference application get."""

from __future__ import annotations

import gzip
import json
import socket
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from tests.examples.conftest import SlotProcess


def _is_intact(answer: httpx.Response) -> bool:
    return answer.headers["x-content-sha256"] == sha256(answer.content).hexdigest()


def test_the_page_names_slot_and_version(slot: SlotProcess) -> None:
    page = slot.client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "blue" in page.text
    assert "v1.2.0" in page.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("GET", "/nowhere", 404),
        ("GET", "/api/orders/unknown", 404),
        ("PATCH", "/api/orders", 405),
        ("GET", "/api/slow?seconds=-1", 400),
        ("GET", "/api/slow?seconds=1e999", 400),
        ("GET", "/api/download?bytes=99999999999999", 400),
        ("POST", "/api/orders", 400),
        ("GET", "/api/health", 200),
    ],
)
def test_every_answer_names_slot_and_version_and_proves_its_body(
    slot: SlotProcess, method: str, path: str, status: int
) -> None:
    answer = slot.client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["x-deployment-slot"] == "blue"
    assert answer.headers["x-deployment-version"] == "v1.2.0"
    assert _is_intact(answer)


def test_a_request_that_is_no_http_is_told_by_whom(slot: SlotProcess) -> None:
    with socket.create_connection(slot.address) as connection:
        connection.sendall(b"\x00\x01 nonsense\r\n\r\n")
        answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"x-deployment-slot: blue" in answer


def test_a_wrong_method_is_told_the_right_ones(slot: SlotProcess) -> None:
    assert slot.client.delete("/api/orders").headers["allow"] == "GET, HEAD, POST"


def test_the_style_sheet_is_not_sent_again_to_who_has_it(slot: SlotProcess) -> None:
    tag = slot.client.get("/static/site.css").headers["etag"]
    answer = slot.client.get("/static/site.css", headers={"If-None-Match": f'"other", {tag}'})
    assert answer.status_code == 304
    assert answer.content == b""
    assert answer.headers["etag"] == tag


def test_the_catalogue_is_compressed_for_who_asks(slot: SlotProcess) -> None:
    with slot.client.stream("GET", "/api/catalogue", headers={"Accept-Encoding": "gzip"}) as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["x-content-sha256"] == sha256(raw).hexdigest()
    assert json.loads(gzip.decompress(raw))["products"]


@pytest.mark.parametrize("encodings", ["identity", "gzip;q=0, br", ""])
def test_the_catalogue_is_plain_for_who_does_not(slot: SlotProcess, encodings: str) -> None:
    answer = slot.client.get("/api/catalogue", headers={"Accept-Encoding": encodings})
    assert "content-encoding" not in answer.headers
    assert _is_intact(answer)


def test_a_slow_answer_comes(slot: SlotProcess) -> None:
    assert slot.client.get("/api/slow?seconds=0.05").json() == {"seconds": 0.05}


def test_a_slow_request_is_counted_as_in_flight(serve: Callable[..., SlotProcess]) -> None:
    slot = serve().listen()
    with socket.create_connection(slot.address) as connection:
        connection.sendall(b"GET /api/slow?seconds=9 HTTP/1.1\r\nHost: a\r\n\r\n")
        slot.wait_for("one request is in flight", lambda: slot.in_flight() == 1)


def test_an_upload_is_counted_and_summed(slot: SlotProcess) -> None:
    parts = [b"a" * 100_000, b"b" * 7, b"c" * 50_000]
    answer = slot.client.post("/api/upload", content=iter(parts))
    assert answer.json() == {"bytes": 150_007, "sha256": sha256(b"".join(parts)).hexdigest()}


def test_a_damaged_upload_is_refused(slot: SlotProcess) -> None:
    answer = slot.client.post(
        "/api/upload", content=b"damaged", headers={"X-Content-SHA256": sha256(b"whole").hexdigest()}
    )
    assert answer.status_code == 400


def test_expect_100_continue_is_answered_before_the_body(slot: SlotProcess) -> None:
    with socket.create_connection(slot.address, timeout=10) as connection:
        connection.sendall(
            b"POST /api/upload HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
            b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n"
        )
        assert connection.recv(4096).startswith(b"HTTP/1.1 100")
        connection.sendall(b"abc")
        assert connection.makefile("rb").read().startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("size", [0, 1, 65_520, 65_521, 65_522, 1_000_000])
def test_a_download_has_its_length_and_checksum(slot: SlotProcess, size: int) -> None:
    answer = slot.client.get(f"/api/download?bytes={size}")
    assert len(answer.content) == size == int(answer.headers["content-length"])
    assert _is_intact(answer)


def test_a_chunked_download_has_the_same_bytes_without_a_length(slot: SlotProcess) -> None:
    answer = slot.client.get("/api/download?bytes=200000&chunked=1")
    assert answer.headers["transfer-encoding"] == "chunked"
    assert "content-length" not in answer.headers
    assert answer.content == slot.client.get("/api/download?bytes=200000").content


@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [
        ("0-0", 0, 0),
        ("65500-65600", 65_500, 65_600),
        ("99990-", 99_990, 99_999),
        ("-10", 99_990, 99_999),
        ("5-999999", 5, 99_999),
    ],
)
def test_a_range_is_that_part_of_the_whole(slot: SlotProcess, wanted: str, first: int, last: int) -> None:
    whole = slot.client.get("/api/download?bytes=100000").content
    part = slot.client.get("/api/download?bytes=100000", headers={"Range": f"bytes={wanted}"})
    assert part.status_code == 206
    assert part.headers["content-range"] == f"bytes {first}-{last}/100000"
    assert part.content == whole[first : last + 1]
    assert _is_intact(part)


@pytest.mark.parametrize("wanted", ["100-", "9-5", "-0"])
def test_a_range_outside_is_refused(slot: SlotProcess, wanted: str) -> None:
    answer = slot.client.get("/api/download?bytes=100", headers={"Range": f"bytes={wanted}"})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == "bytes */100"


def test_a_range_of_something_else_gets_the_whole(slot: SlotProcess) -> None:
    headers = {"Range": "bytes=0-1", "If-Range": '"another"'}
    assert slot.client.get("/api/download?bytes=100", headers=headers).status_code == 200


def test_the_echo_gives_the_body_back(slot: SlotProcess) -> None:
    body = bytes(range(256)) * 500
    answer = slot.client.post("/api/echo", content=body, headers={"Content-Type": "application/x-test"})
    assert answer.content == body
    assert answer.headers["content-type"] == "application/x-test"
    assert _is_intact(answer)


def test_events_are_numbered_and_say_when_they_are_over(slot: SlotProcess) -> None:
    answer = slot.client.get("/api/events?seconds=0.1&every=0.03")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert [line for line in answer.text.splitlines() if line.startswith("id:")][:2] == ["id: 1", "id: 2"]
    assert '"reason": "finished"' in answer.text


def test_events_continue_after_the_last_one_seen(slot: SlotProcess) -> None:
    answer = slot.client.get("/api/events?seconds=0", headers={"Last-Event-ID": "41"})
    assert "id: 42" in answer.text


def test_a_poll_without_news_ends_in_time(slot: SlotProcess) -> None:
    assert slot.client.get("/api/poll?seconds=0.05").json() == {"news": [], "reason": "timeout"}


@pytest.mark.parametrize("message", ["text", b"\x00\xff"])
def test_the_websocket_gives_messages_back(slot: SlotProcess, message: str | bytes) -> None:
    with connect(f"ws://{slot.address[0]}:{slot.address[1]}/api/ws") as websocket:
        websocket.send(message)
        assert websocket.recv(timeout=10) == message
        assert websocket.response is not None
        assert websocket.response.headers["X-Deployment-Slot"] == "blue"


def test_a_websocket_elsewhere_is_refused_with_headers(slot: SlotProcess) -> None:
    with pytest.raises(InvalidStatus) as refusal:
        connect(f"ws://{slot.address[0]}:{slot.address[1]}/elsewhere")
    assert refusal.value.response.status_code == 404
    assert refusal.value.response.headers["X-Deployment-Version"] == "v1.2.0"


def _logged(slot: SlotProcess, request_id: str) -> list[list[str]]:
    lines = [line.split("\t") for line in slot.request_log.read_text().splitlines()]
    return [line for line in lines if line[2] == request_id]


def test_the_request_log_has_begin_and_end(slot: SlotProcess) -> None:
    slot.client.get("/nowhere%09at all", headers={"X-Request-ID": "run-1-7"})
    # The end is written after the answer was handed over, so the client may be faster.
    slot.wait_for("the end is logged", lambda: len(_logged(slot, "run-1-7")) == 2)
    lines = _logged(slot, "run-1-7")
    assert [line[0] for line in lines] == ["begin", "end"]
    assert all(line[3:7] == ["blue", "v1.2.0", "GET", "/nowhere at all"] for line in lines)
    assert [line[7] for line in lines] == ["", "404"]
    assert int(lines[0][1]) <= int(lines[1][1])


def test_the_request_log_does_not_grow_by_everyday_requests(slot: SlotProcess) -> None:
    for everyday in ("f" * 32, "1f0e5c9a-8f6c-4c1e-9b7a-3f2d1c0b9a8f"):
        slot.client.get("/everyday", headers={"X-Request-ID": everyday})
    slot.client.get("/measured", headers={"X-Request-ID": "run-2-1"})
    slot.wait_for("the end is logged", lambda: len(_logged(slot, "run-2-1")) == 2)
    assert "/everyday" not in slot.request_log.read_text()


def test_a_request_without_id_is_logged_with_a_dash(serve: Callable[..., SlotProcess]) -> None:
    slot = serve().listen()
    slot.client.get("/")
    assert slot.request_log.read_text().splitlines()[0].split("\t")[2] == "-"


def test_a_disk_too_full_for_the_request_log_costs_no_answer(serve: Callable[..., SlotProcess]) -> None:
    slot = serve(REQUEST_LOG="/dev/full").ready()
    assert slot.client.get("/").status_code == 200
