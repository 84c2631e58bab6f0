"""What broken rules about retries, dead slots and connections do to users."""

from __future__ import annotations

import time

from cakravia_verify.proxy.lint.model import LintFacts
from tests.proxy.lint.bench import PAIR, Bench, Proof, close_without_answer, comes_true
from tests.proxy.lint.fake_slots import Exchange


def _changed_twice(bench: Bench) -> str:
    bench.blue.act = bench.green.act = close_without_answer
    bench.ask(method="POST", body=b"pay")
    done = bench.blue.count("POST") + bench.green.count("POST")
    return f"doubled: {done} slots did the POST" if done > 1 else ""


def _slow_ran_twice(bench: Bench) -> str:
    def slow(exchange: Exchange) -> None:
        exchange.slot.release.wait(0.5)
        exchange.answer()

    bench.blue.act = bench.green.act = slow
    bench.ask(method="DELETE")
    done = bench.blue.count("DELETE") + bench.green.count("DELETE")
    return f"doubled: {done} slots ran the DELETE" if done > 1 else ""


def _error_unseen(bench: Bench) -> str:
    bench.blue.act = lambda exchange: exchange.answer(500)
    answer = bench.ask()
    return f"hidden: blue failed, users got {answer.status} of {answer.text}" if answer.status != 500 else ""


def _no_slot_asked(bench: Bench) -> str:
    bench.blue.act = bench.green.act = close_without_answer
    bench.ask()
    bench.blue.act = bench.green.act = Exchange.answer
    answer = bench.ask()
    return f"lost: {answer.status}, and both slots are well" if answer.status != 200 else ""


def _gone_slot_waited_for(bench: Bench) -> str:
    bench.ask(patience=0.6)
    answer = bench.ask(patience=0.6)
    return "lost: no answer, and the other slot is well" if answer.status != 200 else ""


def _mirrored(bench: Bench) -> str:
    bench.ask(method="POST", body=b"pay")
    copied = comes_true(lambda: bench.green.count("POST") > 0, seconds=0.3)
    return "doubled: green got the POST as well" if copied else ""


def _closed_under_a_request(bench: Bench) -> str:
    def act(exchange: Exchange) -> None:
        # The application's timer and the request meet.
        exchange.close() if exchange.idle > 0.3 else exchange.answer()

    bench.blue.act = act
    bench.ask(method="POST", body=b"1")
    time.sleep(0.6)
    answer = bench.ask(method="POST", body=b"2")
    return f"lost: {answer.status}" if answer.status != 200 else ""


def _half_a_page(bench: Bench) -> str:
    def die(exchange: Exchange) -> None:
        exchange.stream("text/html")
        exchange.part("<p>half of the ")
        exchange.close()

    bench.blue.act = die
    answer = bench.ask()
    return f"hidden: {answer.text!r} is a complete answer" if answer.status == 200 else ""


def _no_connection_left(bench: Bench) -> str:
    bench.blue.act = lambda exchange: _hold(exchange) if exchange.path == "/held" else exchange.answer()
    held = [bench.connect("GET /held HTTP/1.1\r\nHost: shop\r\n\r\n") for _ in range(10)]
    comes_true(lambda: len(bench.blue.seen) >= 10, seconds=0.5)
    answer = bench.ask(patience=1.0)
    bench.blue.release.set()
    for each in held:
        each.close()
    return f"lost: {answer.status or answer.error}" if answer.status != 200 else ""


def _hold(exchange: Exchange) -> None:
    exchange.slot.release.wait(10)
    exchange.answer()


# The first address takes no connection and refuses none: its queue is full.
HOLE_AND_GREEN = "upstream app { server HOLE max_fails=1; server GREEN max_fails=0 backup; }"

RETRIES = [
    Proof(
        "retry-non-idempotent",
        "error non_idempotent",
        "error",
        _changed_twice,
        http=PAIR,
        server="location / { proxy_next_upstream @@; proxy_pass http://app; }",
    ),
    Proof(
        "retry-on-timeout",
        "error timeout",
        "error",
        _slow_ran_twice,
        http=PAIR,
        server="location / { proxy_next_upstream @@; proxy_read_timeout 200ms; proxy_pass http://app; }",
    ),
    Proof(
        "retry-hides-errors",
        "error http_500",
        "error",
        _error_unseen,
        http="upstream app { server BLUE max_fails=0; server GREEN max_fails=0 backup; }",
        server="location / { proxy_next_upstream @@; proxy_pass http://app; }",
    ),
    Proof(
        "max-fails-default",
        "",
        "max_fails=0",
        _no_slot_asked,
        http="upstream app { server BLUE @@; server GREEN @@; }",
        server="location / { proxy_next_upstream error; proxy_pass http://app; }",
    ),
    Proof(
        "connect-timeout-long",
        "30s",
        "200ms",
        _gone_slot_waited_for,
        http=HOLE_AND_GREEN,
        server="location / { proxy_connect_timeout @@; proxy_next_upstream error; proxy_pass http://app; }",
    ),
    Proof(
        "mirror-doubles",
        "",
        'if ($request_method !~ "^(GET|HEAD)$") { return 204; }',
        _mirrored,
        server="""
        location / { mirror /copy; proxy_pass http://BLUE; }
        location = /copy { internal; @@ proxy_pass http://GREEN$request_uri; }
        """,
    ),
    Proof(
        "upstream-idle-long",
        "60s",
        "100ms",
        _closed_under_a_request,
        http="upstream app { server BLUE; keepalive 4; keepalive_timeout @@; }",
        server='location / { proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass http://app; }',
        facts=LintFacts(app_idle=0.3),
    ),
    Proof(
        "truncation-hidden",
        "1.0",
        "1.1",
        _half_a_page,
        server="location / { proxy_http_version @@; proxy_pass http://BLUE; }",
    ),
    Proof(
        "connections-few",
        "16",
        "1024",
        _no_connection_left,
        events="worker_connections @@;",
        server="location / { proxy_pass http://BLUE; }",
    ),
]
