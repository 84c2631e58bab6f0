"""No answer, however hostile, crashes the probe, keeps it beyond its deadline or fills the memory."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings

from cakravia_verify.health.models import Reading
from cakravia_verify.health.probe import HttpProber
from cakravia_verify.settings.contract import ContractSettings
from tests.health.hostile import (
    BOMB,
    BOMB_OF_BOMBS,
    ENDLESS,
    MIB,
    HostileAnswer,
    HostileServer,
    answers,
    hostile_server,
)

TIMEOUT = 0.4
# Beside the body itself and its JSON: a machine that does other things as well is late.
LATE = 5.0
MOST_GROWTH = 128 * MIB
HOSTILE = settings(deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def server() -> Iterator[HostileServer]:
    with hostile_server() as started:
        yield started


@pytest.fixture(scope="module")
def prober() -> HttpProber:
    return HttpProber(ContractSettings(), timeout=TIMEOUT)


def largest_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def read(server: HostileServer, prober: HttpProber, answer: HostileAnswer) -> tuple[Reading, float]:
    """Return the reading of this answer, and how long it took."""
    server.answer = answer
    began = time.monotonic()
    reading = prober.read(server.address, "health")
    return reading, time.monotonic() - began


def require_bounded(server: HostileServer, prober: HttpProber, answer: HostileAnswer) -> None:
    before = largest_memory()
    reading, seconds = read(server, prober, answer)
    assert seconds < TIMEOUT + LATE
    assert largest_memory() - before < MOST_GROWTH
    assert reading.is_healthy or reading.problem
    assert len(str(reading)) < 2_000
    assert str(reading).isprintable()


@settings(HOSTILE, max_examples=300)
@given(answer=answers())
def test_a_hostile_answer_is_a_reading(server: HostileServer, prober: HttpProber, answer: HostileAnswer) -> None:
    require_bounded(server, prober, answer)


@pytest.mark.slow
@settings(HOSTILE, max_examples=10_000)
@given(answer=answers())
def test_ten_thousand_hostile_answers_are_readings(
    server: HostileServer, prober: HttpProber, answer: HostileAnswer
) -> None:
    require_bounded(server, prober, answer)


@pytest.mark.parametrize("answer", ENDLESS.values(), ids=ENDLESS)
def test_an_answer_that_never_ends_ends_at_the_deadline(
    server: HostileServer, prober: HttpProber, answer: HostileAnswer
) -> None:
    before = largest_memory()
    reading, seconds = read(server, prober, answer)
    assert not reading.is_healthy
    assert seconds < TIMEOUT + LATE
    assert largest_memory() - before < MOST_GROWTH


@pytest.mark.parametrize(
    ("encoding", "body"),
    [("gzip", BOMB), ("gzip, gzip", BOMB_OF_BOMBS), ("gzip", BOMB_OF_BOMBS)],
    ids=["bomb", "bomb of bombs", "outer bomb"],
)
def test_a_packed_answer_does_not_fill_the_memory(
    server: HostileServer, prober: HttpProber, encoding: str, body: bytes
) -> None:
    before = largest_memory()
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {len(body)}\r\n\r\n"
    reading, _ = read(server, prober, HostileAnswer(head.encode() + body))
    assert not reading.is_healthy or len(body) < MIB
    assert largest_memory() - before < MOST_GROWTH


def test_an_answer_that_is_too_long_is_cut_and_not_a_success(server: HostileServer) -> None:
    long = HostileAnswer(b"HTTP/1.1 200 OK\r\n\r\n" + b" " * (17 * MIB))
    reading, _ = read(server, HttpProber(ContractSettings(), timeout=60), long)
    assert "longer than 16 MiB" in reading.problem


def test_two_lengths_are_no_healthy_answer(server: HostileServer, prober: HttpProber) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 21\r\nContent-Length: 5\r\n\r\n"
    reading, _ = read(server, prober, HostileAnswer(head + b'{"status": "healthy"}'))
    assert not reading.is_healthy


def test_a_truncated_answer_is_not_healthy(server: HostileServer, prober: HttpProber) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"
    reading, _ = read(server, prober, HostileAnswer(head + b'{"status": "healthy"}'))
    assert not reading.is_healthy


@pytest.mark.parametrize(
    "type_", ["application/json", "application/health+json", "application/health+json; charset=utf-8"]
)
def test_health_json_is_accepted(server: HostileServer, prober: HttpProber, type_: str) -> None:
    body = b'{"status": "pass", "version": "1"}'
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {type_}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    reading, _ = read(server, prober, HostileAnswer(head + body))
    assert (reading.is_healthy, reading.state) == (True, "pass")
