"""What the strict client calls answered, lost, error and unreached, against servers that do each thing."""

from __future__ import annotations

import hashlib
import socket
import threading
from typing import TYPE_CHECKING

import gevent
import pytest

from cakravia_verify.traffic.plan.mix import Body, MixEntry
from cakravia_verify.traffic.records.rows import EVENTS_FILE

if TYPE_CHECKING:
    from cakravia_verify.traffic.records.rows import Row
    from tests.traffic.client.conftest import MakeSender, Serve

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
CLOSE = (("Connection", "close"),)


def answer_of(serve: Serve, sender: MakeSender, response: bytes, entry: MixEntry | None = None) -> Row:
    """The record of one request that is answered with exactly these bytes, then the connection is closed."""

    def handle(accepted: socket.socket, number: int, head: bytes, body: bytes) -> bool:
        accepted.sendall(response)
        return False

    client = sender(serve(handle).url, entry or MixEntry("x"))
    client.send(0)
    (row,) = client.finish()
    return row


@pytest.mark.parametrize(
    ("response", "size"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 5, id="length"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", 5, id="chunked"
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\nhello", 5, id="until close"),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", 0, id="204"),
        pytest.param(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK, 2, id="interim first"),
        pytest.param(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", 2, id="HTTP/1.0"),
    ],
)
def test_a_complete_response_is_answered(serve: Serve, sender: MakeSender, response: bytes, size: int) -> None:
    row = answer_of(serve, sender, response)
    assert (row.outcome, row.bytes, row.detail) == ("answered", size, "")


NOT_MODIFIED = b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n"
PARTIAL = b"HTTP/1.1 206 Partial Content\r\nContent-Length: 2\r\n\r\nhi"


@pytest.mark.parametrize(
    ("response", "header"),
    [
        (NOT_MODIFIED, ("If-None-Match", "*")),
        (NOT_MODIFIED, ("if-modified-since", "Mon, 23 Nov 2026 10:00:00 GMT")),
        (PARTIAL, ("Range", "bytes=0-1")),
    ],
    ids=["none match", "modified since", "range"],
)
def test_304_and_206_are_good_answers_to_those_who_asked_for_such_and_to_nobody_else(
    serve: Serve, sender: MakeSender, response: bytes, header: tuple[str, str]
) -> None:
    assert answer_of(serve, sender, response, MixEntry("x", headers=(header,))).outcome == "answered"
    unasked = answer_of(serve, sender, response)
    assert (unasked.outcome, unasked.detail) == ("error", f"status {unasked.status}")


def test_a_status_that_the_mix_names_is_a_good_answer_whatever_was_asked(serve: Serve, sender: MakeSender) -> None:
    assert answer_of(serve, sender, NOT_MODIFIED, MixEntry("x", expected=(304,))).outcome == "answered"


def chunked(*parts: bytes) -> bytes:
    body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body + b"0\r\n\r\n"


@pytest.mark.parametrize(
    ("response", "outcome"),
    [
        pytest.param(chunked(b"<h1>shop</h1>"), "answered", id="whole"),
        pytest.param(chunked(b"<h1>sh", b"o", b"p</h1>"), "answered", id="cut in the middle"),
        pytest.param(chunked(b"<h1>sho</h1>", b"<p>"), "lost", id="nearly"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "lost", id="blank"),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", "lost", id="no content"),
        pytest.param(b"HTTP/1.1 500 Oh\r\nContent-Length: 4\r\n\r\nshop", "error", id="status"),
    ],
)
def test_a_page_without_its_text_is_no_good_answer(
    serve: Serve, sender: MakeSender, response: bytes, outcome: str
) -> None:
    row = answer_of(serve, sender, response, MixEntry("x", contains="shop"))
    assert (row.outcome, row.detail) == (
        outcome,
        {"lost": "body without 'shop'", "error": "status 500"}.get(outcome, ""),
    )


def test_a_page_with_data_of_another_request_is_no_good_answer(serve: Serve, sender: MakeSender) -> None:
    own = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello t-0"
    assert answer_of(serve, sender, own, MixEntry("x", contains="hello {id}")).outcome == "answered"
    row = answer_of(serve, sender, own.replace(b"t-0", b"t-9"), MixEntry("x", contains="hello {journey}"))
    assert (row.outcome, row.detail) == ("lost", "body without 'hello t-0'")


def test_a_page_that_was_not_modified_need_not_be_sent_again(serve: Serve, sender: MakeSender) -> None:
    entry = MixEntry("x", contains="shop", headers=(("If-None-Match", "*"),))
    assert answer_of(serve, sender, NOT_MODIFIED, entry).outcome == "answered"


def test_a_host_of_a_mix_replaces_ours_instead_of_becoming_a_second_line(serve: Serve, sender: MakeSender) -> None:
    heads: list[bytes] = []

    def answer(accepted: socket.socket, number: int, head: bytes, body: bytes) -> bool:
        heads.append(head)
        accepted.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
        return True

    entry = MixEntry("x", headers=(("host", "own.example.com"), ("x-a", "entry")))
    plan = {"host": "shop.example.com", "headers": (("X-A", "plan"), ("X-B", "plan"))}
    send = sender(serve(answer).url, entry, MixEntry("y"), **plan)
    send.send(0)
    send.send(1, entry=1)
    lines = [
        sorted(line for line in head.split(b"\r\n") if line[:4].lower() in (b"host", b"x-a:", b"x-b:"))
        for head in heads
    ]
    assert lines == [
        [b"Host: own.example.com", b"X-B: plan", b"x-a: entry"],
        [b"Host: shop.example.com", b"X-A: plan", b"X-B: plan"],
    ]


@pytest.mark.parametrize(("text", "outcome"), [("hop", "answered"), ("ship", "lost")])
def test_a_text_is_looked_for_beside_a_checksum(serve: Serve, sender: MakeSender, text: str, outcome: str) -> None:
    named = hashlib.sha256(b"shop").hexdigest().encode()
    response = b"HTTP/1.1 200 OK\r\nX-Sum: %s\r\nContent-Length: 4\r\n\r\nshop" % named
    row = answer_of(serve, sender, response, MixEntry("x", contains=text, verify="X-Sum"))
    assert row.outcome == outcome


@pytest.mark.parametrize(
    ("response", "detail"),
    [
        pytest.param(b"", "closed before the response", id="nothing"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Le", "closed", id="in the headers"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi", "closed mid body after 2 bytes", id="short body"
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", "closed mid body", id="no last chunk"
        ),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n", "closed before the response", id="only an interim response"),
        pytest.param(b"HELLO\r\n\r\n", "not HTTP", id="not HTTP"),
        pytest.param(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", "gateway says 502", id="502"),
        pytest.param(b"HTTP/1.1 504 Gateway Time-out\r\nContent-Length: 0\r\n\r\n", "gateway says 504", id="504"),
    ],
)
def test_a_written_request_without_complete_answer_is_lost(
    serve: Serve, sender: MakeSender, response: bytes, detail: str
) -> None:
    row = answer_of(serve, sender, response)
    assert row.outcome == "lost"
    assert row.detail.startswith(detail)
    assert row.sent is not None


def test_an_unexpected_status_is_an_error_not_a_loss(serve: Serve, sender: MakeSender) -> None:
    row = answer_of(serve, sender, b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n")
    assert (row.outcome, row.status, row.detail) == ("error", 500, "status 500")


def test_a_gateway_status_the_mix_expects_is_answered(serve: Serve, sender: MakeSender) -> None:
    entry = MixEntry("x", expected=(503,))
    assert answer_of(serve, sender, b"HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n", entry).outcome == "answered"


def test_an_answer_to_head_has_no_body_whatever_its_length_says(serve: Serve, sender: MakeSender) -> None:
    def handle(accepted: socket.socket, number: int, head: bytes, body: bytes) -> bool:
        accepted.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")
        return True

    client = sender(serve(handle).url, MixEntry("x", "HEAD"))
    client.send_all(3)
    assert [(row.outcome, row.reused) for row in client.finish()] == [
        ("answered", False),
        ("answered", True),
        ("answered", True),
    ]


def test_the_slot_and_version_headers_are_recorded(serve: Serve, sender: MakeSender) -> None:
    named = b"HTTP/1.1 200 OK\r\nX-Deployment-Slot: blue\r\nx-deployment-version: v1,2\r\nX-Served-Slot: green\r\n"
    row = answer_of(serve, sender, named + b"Content-Length: 0\r\n\r\n")
    assert (row.slot, row.version, row.served_slot) == ("blue", "v1,2", "green")


def test_nobody_listening_is_unreached(sender: MakeSender) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    client = sender(f"http://127.0.0.1:{port}")
    client.send(0)
    (row,) = client.finish()
    assert (row.outcome, row.sent, row.reused) == ("unreached", None, False)


def test_silence_is_lost_by_timeout(serve: Serve, sender: MakeSender) -> None:
    answered = threading.Event()

    def handle(accepted: socket.socket, number: int, head: bytes, body: bytes) -> bool:
        answered.wait(10)
        return False

    client = sender(serve(handle).url, timeout=0.05)
    client.send(0)
    answered.set()
    (row,) = client.finish()
    assert (row.outcome, row.detail) == ("lost", "timeout")


def test_nothing_is_sent_twice(serve: Serve, sender: MakeSender) -> None:
    seen: list[int] = []

    def handle(accepted: socket.socket, number: int, head: bytes, body: bytes) -> bool:
        seen.append(number)
        if number % 3 == 2:
            return False
        accepted.sendall(OK)
        return True

    client = sender(serve(handle).url)
    client.send_all(30)
    client.finish()
    assert seen == list(range(30))


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size", [0, 1, 5000, 300_000])
def test_an_echoed_body_is_verified(serve: Serve, sender: MakeSender, size: int, chunked: bool) -> None:
    def handle(accepted: socket.socket, number: int, head: bytes, body: bytes) -> bool:
        if chunked:
            while not body.endswith(b"0\r\n\r\n"):
                body += accepted.recv(65536)
            accepted.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
        else:
            accepted.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        return False

    entry = MixEntry("x", "POST", body=Body("random", size=size, chunked=chunked), verify="echo")
    client = sender(serve(handle, reads_body=not chunked).url, entry)
    client.send(0)
    (row,) = client.finish()
    assert (row.outcome, row.detail, row.bytes) == ("answered", "", size)


def test_a_body_with_a_flipped_bit_is_lost(serve: Serve, sender: MakeSender) -> None:
    def handle(accepted: socket.socket, number: int, head: bytes, body: bytes) -> bool:
        accepted.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body[:-1] + bytes([body[-1] ^ 1]))
        )
        return True

    client = sender(serve(handle).url, MixEntry("x", "POST", body=Body("random", size=100), verify="echo"))
    client.send(0)
    (row,) = client.finish()
    assert (row.outcome, row.detail) == ("lost", "body differs from its checksum")


def with_checksum(body: bytes, checksum: str) -> bytes:
    return b"HTTP/1.1 200 OK\r\nX-Sum: %s\r\nContent-Length: %d\r\n\r\n%s" % (checksum.encode(), len(body), body)


def test_a_body_is_verified_against_the_header_that_names_its_checksum(serve: Serve, sender: MakeSender) -> None:
    entry = MixEntry("x", verify="X-Sum")
    right = hashlib.sha256(b"body").hexdigest()
    assert answer_of(serve, sender, with_checksum(b"body", right), entry).outcome == "answered"
    assert answer_of(serve, sender, with_checksum(b"bodY", right), entry).outcome == "lost"
    assert answer_of(serve, sender, OK, entry).outcome == "error"


def test_a_body_waits_for_100_continue(serve: Serve, sender: MakeSender) -> None:
    came_early: list[bytes] = []

    def handle(accepted: socket.socket, number: int, head: bytes, body: bytes) -> bool:
        came_early.append(body)
        accepted.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        got = b""
        while len(got) < 2000:
            got += accepted.recv(65536)
        accepted.sendall(OK)
        return False

    entry = MixEntry("x", "POST", headers=(("Expect", "100-continue"),), body=Body("random", size=2000))
    client = sender(serve(handle, reads_body=False).url, entry)
    client.send(0)
    (row,) = client.finish()
    assert came_early == [b""]
    assert row.outcome == "answered"


def test_a_final_response_instead_of_100_continue_ends_the_request(serve: Serve, sender: MakeSender) -> None:
    def handle(accepted: socket.socket, number: int, head: bytes, body: bytes) -> bool:
        accepted.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        return True

    entry = MixEntry(
        "x", "POST", headers=(("Expect", "100-continue"),), body=Body("random", size=2000), expected=(413,)
    )
    client = sender(serve(handle, reads_body=False).url, entry)
    client.send(0)
    (row,) = client.finish()
    assert (row.outcome, row.status, row.sent) == ("answered", 413, None)


def test_a_response_before_the_end_of_a_large_body_counts(serve: Serve, sender: MakeSender) -> None:
    done = threading.Event()

    def handle(accepted: socket.socket, number: int, head: bytes, body: bytes) -> bool:
        accepted.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        done.wait(10)
        return False

    entry = MixEntry("x", "POST", body=Body("random", size=20_000_000), expected=(413,))
    client = sender(serve(handle, reads_body=False).url, entry)
    client.send(0)
    done.set()
    (row,) = client.finish()
    assert (row.outcome, row.status) == ("answered", 413)


def test_a_connection_the_server_announces_to_close_is_not_used_again(serve: Serve, sender: MakeSender) -> None:
    def handle(accepted: socket.socket, number: int, head: bytes, body: bytes) -> bool:
        accepted.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi")
        return True  # the server itself keeps it open: only the client's obedience is seen

    client = sender(serve(handle).url)
    client.send_all(3)
    assert [row.reused for row in client.finish()] == [False, False, False]


def test_an_idle_close_is_an_event_and_no_loss(serve: Serve, sender: MakeSender) -> None:
    def handle(accepted: socket.socket, number: int, head: bytes, body: bytes) -> bool:
        accepted.sendall(OK)
        return False

    client = sender(serve(handle).url)
    for number in range(5):
        client.send(number)
        while client.generator.summary(None)["idle_closes"] <= number:
            gevent.sleep(0.001)
    rows = client.finish()
    assert [row.outcome for row in rows] == ["answered"] * 5
    events = (client.folder / EVENTS_FILE).read_text().splitlines()
    assert [line.split(",")[1:] for line in events[1:]] == [
        [str(row.connection), "idle_close", "closed"] for row in rows
    ]


def test_a_stream_still_flowing_at_its_timeout_is_answered(serve: Serve, sender: MakeSender) -> None:
    over = threading.Event()

    def handle(accepted: socket.socket, number: int, head: bytes, body: bytes) -> bool:
        accepted.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ndata\r\n")
        over.wait(10)
        return False

    client = sender(serve(handle).url, MixEntry("x", stream="events", timeout=0.05))
    client.send(0)
    over.set()
    (row,) = client.finish()
    assert (row.outcome, row.bytes) == ("answered", 4)


def test_a_stream_that_is_cut_off_is_lost(serve: Serve, sender: MakeSender) -> None:
    cut = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ndata\r\n"
    assert answer_of(serve, sender, cut, MixEntry("x", stream="events", timeout=1.0)).outcome == "lost"


def test_instants_are_in_order(serve: Serve, sender: MakeSender) -> None:
    def handle(accepted: socket.socket, number: int, head: bytes, body: bytes) -> bool:
        accepted.sendall(OK)
        return True

    client = sender(serve(handle).url, round_trip=0.004)
    client.send_all(5)
    for row in client.finish():
        instants = [row.planned, row.started, row.connected or row.started, row.sent, row.first_byte, row.done]
        assert instants == sorted(instants, key=lambda instant: instant or 0)
        assert None not in instants
