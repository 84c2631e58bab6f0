"""What broken rules about limits, logs, buffers and certificates do to users and to the release."""

from __future__ import annotations

import http.client
import ssl
import time

from cakravia_verify.proxy.lint.model import LintFacts
from tests.proxy.lint.bench import Bench, Proof, comes_true


def _upload_refused(bench: Bench) -> str:
    answer = bench.ask(method="POST", body=bytes(1_500_000))
    return f"lost: {answer.status or answer.error}, the application got nothing" if not bench.blue.seen else ""


def _measuring_refused(bench: Bench) -> str:
    refused = [answer.status for answer in (bench.ask() for _ in range(8)) if answer.status != 200]
    return f"lost: {len(refused)} of 8 requests of the release" if refused else ""


def _log_is_silent(bench: Bench) -> str:
    bench.ask(headers={"X-Request-ID": "r-17"})
    log = bench.folder / "access.log"
    comes_true(lambda: bool(log.read_text()), seconds=5)
    line = log.read_text()
    is_told = bench.blue.address in line and "r-17" in line
    return "" if is_told else f"hidden: {line!r} does not say which slot answered which request"


def _log_is_late(bench: Bench) -> str:
    for _ in range(3):
        bench.ask()
    log = bench.folder / "access.log"
    is_complete = comes_true(lambda: len(log.read_text().splitlines()) == 3, seconds=0.5)
    return "" if is_complete else f"hidden: {len(log.read_text().splitlines())} of 3 requests are in the log"


def _head_too_big(bench: Bench) -> str:
    bench.blue.act = lambda exchange: exchange.answer(headers=(f"Set-Cookie: s={'x' * 6000}",))
    answer = bench.ask()
    return f"lost: {answer.status}" if answer.status != 200 else ""


def _download_cut(bench: Bench) -> str:
    size = 8_000_000
    bench.blue.act = lambda exchange: exchange.answer(body="x" * size)
    connection = http.client.HTTPConnection("127.0.0.1", bench.port, timeout=10)
    connection.request("GET", "/")
    answer = connection.getresponse()
    time.sleep(0.5)  # a slow client: nginx puts the answer aside meanwhile
    try:
        length = len(answer.read())
    except (OSError, http.client.HTTPException) as error:
        return f"lost: {type(error).__name__}"
    finally:
        connection.close()
    return f"lost: {size - length} bytes" if length != size else ""


def _refused_by_browsers(bench: Bench) -> str:
    trusted = ssl.create_default_context(cafile=str(bench.folder / "valid.pem"))
    trusted.load_verify_locations(str(bench.folder / "expired.pem"))
    connection = http.client.HTTPSConnection("127.0.0.1", bench.port, timeout=5, context=trusted)
    try:
        connection.request("GET", "/")
        return "" if connection.getresponse().status == 200 else "lost"
    except ssl.SSLError as error:
        return f"lost: {error.reason}"
    finally:
        connection.close()


LOGGED = """
log_format short '$remote_addr "$request" $status';
log_format whole '$remote_addr "$request" $status $upstream_addr $upstream_status $http_x_request_id';
"""

LIMITS = [
    Proof(
        "body-limit",
        "1m",
        "4m",
        _upload_refused,
        server="location / { client_max_body_size @@; proxy_pass http://BLUE; }",
        facts=LintFacts(largest_body=2 * 2**20),
    ),
    Proof(
        "limit-refuses",
        "$binary_remote_addr",
        "$limited",
        _measuring_refused,
        http="""
        geo $stranger { default 1; 127.0.0.0/8 0; }
        map $stranger $limited { 0 ""; 1 $binary_remote_addr; }
        limit_req_zone @@ zone=each:1m rate=2r/s;
        """,
        server="location / { limit_req zone=each; proxy_pass http://BLUE; }",
    ),
    Proof(
        "log-without-upstream",
        "short",
        "whole",
        _log_is_silent,
        http=LOGGED,
        server='location / { access_log "FOLDER/access.log" @@; proxy_pass http://BLUE; }',
    ),
    Proof(
        "log-buffered",
        "buffer=64k flush=30s",
        "",
        _log_is_late,
        http=LOGGED,
        server='location / { access_log "FOLDER/access.log" whole @@; proxy_pass http://BLUE; }',
    ),
    Proof(
        "header-buffer-small",
        "4k",
        "32k",
        _head_too_big,
        server="""
        location / {
            proxy_buffer_size @@; proxy_buffers 8 32k; proxy_busy_buffers_size 64k; proxy_pass http://BLUE;
        }
        """,
    ),
    Proof(
        "temp-on-tmpfs",
        "1024m",
        "0",
        _download_cut,
        server="location / { proxy_max_temp_file_size @@; proxy_pass http://BLUE; }",
        temp="MEMORY",
        # A limit of the size of files stands for a file system that is full.
        largest_file=256 * 1024,
    ),
    Proof(
        "certificate",
        "expired",
        "valid",
        _refused_by_browsers,
        listen=" ssl",
        server="""
        ssl_certificate "FOLDER/@@.pem"; ssl_certificate_key "FOLDER/@@.key";
        location / { proxy_pass http://BLUE; }
        """,
    ),
]
