"""What broken rules about the switch and about reloads do to users."""

from __future__ import annotations

import contextlib
import threading
import time

from cakravia_verify.proxy.lint.model import LintFacts
from tests.proxy.lint.bench import POOLS, SWITCH, Answer, Bench, Proof, comes_true
from tests.proxy.lint.fake_slots import Exchange

REQUEST = "GET / HTTP/1.1\r\nHost: shop\r\n\r\n"


def _idle_connection_closed(bench: Bench) -> str:
    with bench.connect(REQUEST) as connection:
        connection.recv(65_536)
        bench.reload()
        time.sleep(0.3)
        with contextlib.suppress(OSError):
            connection.sendall(REQUEST.encode())
            if connection.recv(65_536):
                return ""
    return "lost: the request met a closed connection"


def _cut_by_reload(bench: Bench) -> str:
    bench.blue.act = _hold
    answers: list[Answer] = []
    client = threading.Thread(target=lambda: answers.append(bench.ask()))
    client.start()
    bench.blue.wait_for(1)
    bench.reload()
    client.join(0.8)
    bench.blue.release.set()
    client.join(10)
    return f"lost: {answers[0].error}" if answers[0].status != 200 else ""


def _old_worker_stays(bench: Bench) -> str:
    def stream(exchange: Exchange) -> None:
        exchange.stream()
        _hold(exchange)

    bench.blue.act = stream
    with bench.connect("GET /events HTTP/1.1\r\nHost: shop\r\n\r\n"):
        bench.blue.wait_for(1)
        old = bench.reload()
        has_ended = comes_true(lambda: not old & bench.workers(), seconds=1.0)
        bench.blue.release.set()
    return "" if has_ended else "wrong: the old configuration still serves the stream"


def _killed_in_a_request(bench: Bench) -> str:
    def slow(exchange: Exchange) -> None:
        time.sleep(0.7)
        exchange.answer()

    bench.blue.act = slow
    answers: list[Answer] = []
    client = threading.Thread(target=lambda: answers.append(bench.ask()))
    client.start()
    bench.blue.wait_for(1)
    # The slot is told to stop: it may finish, and is killed after its grace.
    client.join(bench.facts.grace)
    bench.blue.stop()
    client.join(10)
    return f"lost: {answers[0].status or answers[0].error}" if answers[0].status != 200 else ""


def _not_on_green(bench: Bench, path: str = "/") -> str:
    bench.switch()
    answer = bench.ask(path)
    return f"wrong: {answer.status} {answer.text} after the switch" if answer.text != "green" else ""


def _fewer_at_once(bench: Bench) -> str:
    bench.green.act = _hold
    bench.switch()
    sockets = [bench.connect(REQUEST) for _ in range(3)]
    comes_true(lambda: len(bench.green.seen) == 3, seconds=0.5)
    bench.green.release.set()
    answers = [each.recv(65_536) for each in sockets]
    for each in sockets:
        each.close()
    lost = sum(not answer.startswith(b"HTTP/1.1 200") for answer in answers)
    return f"lost: {lost} of 3 on green, none on blue" if lost else ""


def _no_slot_chosen(bench: Bench) -> str:
    answer = bench.ask()
    return f"lost: {answer.status}" if answer.status != 200 else ""


def _both_versions(bench: Bench) -> str:
    seen = {bench.ask().text for _ in range(24)}
    return "wrong: one user got both versions" if len(seen) > 1 else ""


def _stale_flag(bench: Bench) -> str:
    bench.ask()
    return _not_on_green(bench)


def _moved_slot_not_found(bench: Bench) -> str:
    first = bench.ask()
    bench.blue.stop()
    bench.green.host, bench.green.port = "127.0.0.2", bench.blue.port
    bench.green.start()
    bench.moved.set()
    time.sleep(2.2)  # nginx counts whole seconds
    answer = bench.ask()
    return f"lost: {first.status}, then {answer.status}" if (first.text, answer.text) != ("blue", "green") else ""


def _hold(exchange: Exchange) -> None:
    exchange.slot.release.wait(10)
    exchange.answer()


FLAGGED = f"location / {{ {SWITCH} proxy_pass http://$slot; }}"

SWITCHES = [
    Proof(
        "reload-drops-idle",
        "",
        "keepalive_min_timeout 10s;",
        _idle_connection_closed,
        http="upstream app { server BLUE; } @@",
        server="location / { proxy_pass http://app; }",
    ),
    Proof(
        "worker-shutdown-short",
        "100ms",
        "20s",
        _cut_by_reload,
        main="worker_shutdown_timeout @@;",
        server="location / { proxy_read_timeout 15s; proxy_pass http://BLUE; }",
    ),
    Proof(
        "worker-shutdown-missing",
        "",
        "worker_shutdown_timeout 200ms;",
        _old_worker_stays,
        main="@@",
        server="location /events { proxy_http_version 1.1; proxy_pass http://BLUE; }",
    ),
    Proof(
        "read-timeout-over-grace",
        "",
        "",
        _killed_in_a_request,
        server="location / { proxy_read_timeout 3s; proxy_pass http://BLUE; }",
        broken_facts=LintFacts(grace=0.1),
        facts=LintFacts(grace=3.5),
    ),
    Proof(
        "slots-equal",
        "BLUE",
        "GREEN",
        _not_on_green,
        http="upstream blue { server BLUE; } upstream green { server @@; }",
        server=FLAGGED,
    ),
    Proof(
        "slots-differ",
        "max_conns=1",
        "",
        _fewer_at_once,
        http="upstream blue { server BLUE; } upstream green { server GREEN @@; }",
        server=FLAGGED,
    ),
    Proof(
        "slot-fixed",
        "proxy_pass http://blue;",
        f"{SWITCH} proxy_pass http://$slot;",
        lambda bench: _not_on_green(bench, "/api/orders"),
        http=POOLS,
        server=f"{FLAGGED} location /api/ {{ @@ }}",
    ),
    Proof(
        "switch-without-default",
        "",
        "set $slot blue;",
        _no_slot_chosen,
        http=POOLS,
        server="""
        location / { @@ if (-f "FOLDER/green.active") { set $slot green; } proxy_pass http://$slot; }
        """,
    ),
    Proof(
        "split-not-sticky",
        "$request_id",
        "$remote_addr",
        _both_versions,
        http=f'{POOLS} split_clients "@@" $slot {{ 50% blue; * green; }}',
        server="location / { proxy_pass http://$slot; }",
    ),
    Proof(
        "flag-cached",
        "",
        "open_file_cache off;",
        _stale_flag,
        http=f"{POOLS} open_file_cache max=64; open_file_cache_valid 60s; open_file_cache_errors on;",
        server=f"location / {{ @@ {SWITCH} proxy_pass http://$slot; }}",
    ),
    Proof(
        "name-at-start",
        "proxy_pass http://NAME:PORT;",
        "resolver DNS valid=1s ipv6=off; set $app NAME; proxy_pass http://$app:PORT;",
        _moved_slot_not_found,
        server="location / { @@ }",
    ),
]
