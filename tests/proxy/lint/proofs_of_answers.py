"""What broken rules about caches, error pages, headers and streams do to users."""

from __future__ import annotations

import re

from tests.proxy.lint.bench import POOLS, SWITCH, Bench, Proof, comes_true
from tests.proxy.lint.fake_slots import Exchange

CACHE = 'proxy_cache_path "FOLDER/cache" keys_zone=pages:1m;'


def _dead_slot_is_well(bench: Bench, path: str = "/") -> str:
    bench.blue.stop()
    answer = bench.ask(path)
    return f"hidden: {answer.status} from a dead slot" if answer.status < 500 else ""


def _dead_slot_answers(bench: Bench) -> str:
    bench.blue.act = lambda exchange: exchange.answer(headers=("X-Accel-Expires: 1",))
    bench.ask()
    bench.blue.stop()
    comes_true(lambda: bench.ask().all("X-Cache") != ["HIT"], seconds=5)
    answer = bench.ask()
    return f"hidden: {answer.status} {answer.text} from a dead slot" if answer.status == 200 else ""


def _old_page(bench: Bench) -> str:
    bench.ask()
    bench.switch()
    answer = bench.ask()
    return f"wrong: the page of {answer.text} after the switch" if answer.text != "green" else ""


def _old_error(bench: Bench) -> str:
    bench.blue.act = lambda exchange: exchange.answer(500)
    bench.ask()
    bench.blue.act = Exchange.answer
    answer = bench.ask()
    return f"wrong: {answer.status}, and the slot is well" if answer.status != 200 else ""


def _change_not_done(bench: Bench) -> str:
    statuses = [bench.ask(method="POST", body=b"pay").status for _ in range(2)]
    return f"lost: {statuses}, done {bench.blue.count('POST')} times" if bench.blue.count("POST") != 2 else ""


def _page_kept_by_browser(bench: Bench) -> str:
    answer = bench.ask()
    age = re.search(r"max-age=([1-9][0-9]*)", " ".join(answer.all("Cache-Control")))
    bench.switch()
    page = answer.text if age else bench.ask().text
    return f"wrong: a browser shows the page of {page} after the switch" if page != "green" else ""


def _event_kept_back(bench: Bench) -> str:
    def stream(exchange: Exchange) -> None:
        exchange.stream()
        exchange.part("data: 1\n\n")
        exchange.slot.release.wait(10)
        exchange.close()

    bench.blue.act = stream
    with bench.connect("GET /events HTTP/1.1\r\nHost: shop\r\nAccept-Encoding: gzip\r\n\r\n") as client:
        bench.blue.wait_for(1)
        client.settimeout(0.4)
        got = b""
        try:
            while not got.partition(b"\r\n\r\n")[2]:
                got += client.recv(65_536)
        except TimeoutError:
            return "wrong: the event has happened, and did not arrive"
        finally:
            bench.blue.release.set()
    return ""


def _stream_cut(bench: Bench) -> str:
    def stream(exchange: Exchange) -> None:
        exchange.stream()
        exchange.part("data: 1\n\n")
        exchange.slot.release.wait(0.6)
        exchange.part("data: 2\n\n")
        exchange.send("0\r\n\r\n")
        exchange.close()

    bench.blue.act = stream
    answer = bench.ask("/events")
    return f"lost: the second event ({answer.error})" if "data: 2" not in answer.text else ""


def _no_websocket(bench: Bench) -> str:
    def upgrade(exchange: Exchange) -> None:
        if exchange.headers.get("upgrade") == "websocket":
            exchange.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
            exchange.close()
        else:
            exchange.answer(400)

    bench.blue.act = upgrade
    request = "GET /ws HTTP/1.1\r\nHost: shop\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    with bench.connect(request) as client:
        first = client.recv(65_536)
    return "" if first.startswith(b"HTTP/1.1 101") else f"lost: {first[:12]!r}"


def _two_values(bench: Bench) -> str:
    bench.blue.act = lambda exchange: exchange.answer(headers=("Access-Control-Allow-Origin: https://shop.example",))
    values = bench.ask().all("Access-Control-Allow-Origin")
    return f"wrong: {values}" if len(values) != 1 else ""


def _header_gone(bench: Bench) -> str:
    return "" if bench.ask().all("X-Frame-Options") else "lost: X-Frame-Options"


def _id_not_passed(bench: Bench) -> str:
    bench.ask()
    return "" if "x-request-id" in bench.blue.seen[0].headers else "lost: the application got no X-Request-ID"


def _name_of_the_pool(bench: Bench) -> str:
    bench.ask(headers={"Host": "shop.example"})
    host = bench.blue.seen[0].headers["host"]
    return f"wrong: the application is called {host}" if host != "shop.example" else ""


FLAGGED = f"location / {{ {SWITCH} @@ proxy_pass http://$slot; }}"
STALE = "proxy_cache pages; proxy_cache_use_stale @@; add_header X-Cache $upstream_cache_status always;"
TO_BLUE = "location / { @@ proxy_pass http://BLUE; }"

ANSWERS = [
    Proof(
        "health-by-proxy",
        'return 200 "ok";',
        "proxy_pass http://BLUE;",
        lambda bench: _dead_slot_is_well(bench, "/health"),
        server="location = /health { @@ } location / { proxy_pass http://BLUE; }",
    ),
    Proof(
        "error-page-hides",
        "=200",
        "",
        _dead_slot_is_well,
        server="""
        error_page 502 504 @@ /sorry;
        location = /sorry { default_type text/plain; return 200 "sorry"; }
        location / { proxy_pass http://BLUE; }
        """,
    ),
    Proof(
        "cache-serves-stale",
        "error timeout",
        "off",
        _dead_slot_answers,
        http=CACHE,
        server=f"location / {{ {STALE} proxy_pass http://BLUE; }}",
    ),
    Proof(
        "cache-across-versions",
        "$request_uri",
        "$slot$request_uri",
        _old_page,
        http=f"{CACHE} {POOLS}",
        server=f"""
        location / {{
            {SWITCH} proxy_cache pages; proxy_cache_valid 200 10m; proxy_cache_key @@; proxy_pass http://$slot;
        }}
        """,
    ),
    Proof(
        "cache-keeps-errors",
        "any 10m",
        "200 10m",
        _old_error,
        http=CACHE,
        server="location / { proxy_cache pages; proxy_cache_valid @@; proxy_pass http://BLUE; }",
    ),
    Proof(
        "cache-of-changes",
        "POST",
        "",
        _change_not_done,
        http=CACHE,
        server="""
        location / {
            proxy_cache pages; proxy_cache_valid 200 10m; proxy_cache_methods GET @@; proxy_pass http://BLUE;
        }
        """,
    ),
    Proof("page-expires-late", "expires 30d;", "", _page_kept_by_browser, http=POOLS, server=FLAGGED),
    Proof(
        "stream-buffered",
        "on",
        "off",
        _event_kept_back,
        server="location /events { proxy_http_version 1.0; proxy_buffering @@; proxy_pass http://BLUE; }",
    ),
    Proof(
        "stream-gzip",
        "text/event-stream",
        "text/css",
        _event_kept_back,
        http="gzip on; gzip_types @@;",
        server="location /events { proxy_http_version 1.1; proxy_pass http://BLUE; }",
    ),
    Proof(
        "stream-timeout-short",
        "200ms",
        "1h",
        _stream_cut,
        server="location /events { proxy_http_version 1.1; proxy_read_timeout @@; proxy_pass http://BLUE; }",
    ),
    Proof(
        "websocket-upgrade",
        "",
        "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;",
        _no_websocket,
        server="location /ws { proxy_http_version 1.1; @@ proxy_pass http://BLUE; }",
    ),
    Proof(
        "header-doubled",
        "*",
        "$added_origin",
        _two_values,
        http='map $upstream_http_access_control_allow_origin $added_origin { default ""; "" "*"; }',
        server="location / { add_header Access-Control-Allow-Origin @@; proxy_pass http://BLUE; }",
    ),
    Proof(
        "add-header-lost",
        "",
        "add_header X-Frame-Options DENY;",
        _header_gone,
        server="add_header X-Frame-Options DENY; location / { add_header X-Shop 1; @@ proxy_pass http://BLUE; }",
    ),
    Proof(
        "proxy-header-lost",
        "",
        "proxy_set_header X-Request-ID $request_id;",
        _id_not_passed,
        server="""
        proxy_set_header X-Request-ID $request_id;
        location / { proxy_set_header X-Shop 1; @@ proxy_pass http://BLUE; }
        """,
    ),
    Proof(
        "host-not-passed",
        "",
        "proxy_set_header Host $http_host;",
        _name_of_the_pool,
        http=POOLS,
        server="location / { @@ proxy_pass http://blue; }",
    ),
]
