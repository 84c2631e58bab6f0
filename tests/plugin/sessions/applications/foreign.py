"""A small server that knows nothing of this project. Environment variables give it habits of real applications.

| variable | habit |
|---|---|
| `HEALTH_BODY`, `HEALTH_TYPE` | what /health answers |
| `ALLOWED_HOST` | any other Host is answered by 400, as Django does |
| `FORCE_TLS` | a request that did not come by https is redirected |
| `TOKEN` | a request without this Authorization is answered by 401 |
| `SESSIONS` | a file that holds the sessions; without it they are in memory |
| `ASSETS` | the page names a script of its version; other versions' names get this: `404` or `page` |
| `FRONT` | the front page: `html`, `changed`, or an answer that is none: `empty`, `null`, `traceback`, `202`, `204` |
| `SPOILS` | a file that its 21st front page writes, as a migration would; `SPOILED` answers 500 once it is there |
| `SLOW`, `DIE_AFTER_PAGES` | seconds that a page takes; it ends after so many pages |
"""

from __future__ import annotations

import itertools
import json
import os
import secrets
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SETTING = os.environ.get
VERSION = SETTING("APP_VERSION", "")
ITEMS = "".join(f"<li><a href=/item/{number}>Item {number}</a></li>" for number in range(20))
HTML = f"<!doctype html><title>Shop</title><nav><a href=/>Shop</a></nav><main><h1>Items</h1><ul>{ITEMS}</ul></main>"
MORE = HTML.replace("Shop", "New shop").replace("</ul>", f"{ITEMS}</ul><script src=/app.9f8e7d6c.js></script>")
FRONTS = {
    "html": (200, HTML, "text/html"),
    "changed": (200, MORE, "text/html"),
    "empty": (200, "", "text/html"),
    "null": (200, "null", "text/html"),
    "traceback": (200, "<pre>Traceback (most recent call last):\n  ...</pre>", "text/html"),
    "202": (202, HTML, "text/html"),
    "204": (204, "", "text/html"),
}
PAGES = itertools.count(1)
_sessions: set[str] = set()


def open_session() -> str:
    session = secrets.token_hex(8)
    _sessions.add(session)
    if store := SETTING("SESSIONS"):
        with Path(store).open("a") as file:
            file.write(f"{session}\n")
    return session


def has_session(cookies: str) -> bool:
    known = set(_sessions)
    if (store := SETTING("SESSIONS")) and Path(store).exists():
        known |= set(Path(store).read_text().split())
    return any(cookie.strip().removeprefix("sid=") in known for cookie in cookies.split(";"))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        return

    def answer(self, code: int, text: str, *, kind: str = "text/plain", **headers: str) -> None:
        body = text.encode()
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def respond(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        host = SETTING("ALLOWED_HOST")
        if host and self.headers.get_all("Host") != [host]:
            self.answer(400, f"DisallowedHost: {self.headers.get('Host')}\nTraceback (most recent call last)")
        elif SETTING("FORCE_TLS") and self.headers.get("X-Forwarded-Proto") != "https":
            self.answer(301, "", Location=f"https://{self.headers.get('Host')}{self.path}")
        elif SETTING("TOKEN") and self.headers.get("Authorization") != f"Bearer {SETTING('TOKEN')}":
            self.answer(401, "no token")
        else:
            self.route()

    def route(self) -> None:
        if self.path == "/health":
            self.answer(200, SETTING("HEALTH_BODY", "ok"), kind=SETTING("HEALTH_TYPE", "text/plain"))
        elif self.path == "/login":
            flags = "; Secure" if SETTING("FORCE_TLS") else ""
            self.answer(200, "in", Set_Cookie=f"sid={open_session()}; Path=/; HttpOnly{flags}")
        elif self.path == "/account":
            is_in = has_session(self.headers.get("Cookie", ""))
            self.answer(200, "you") if is_in else self.answer(401, "log in")
        elif self.path == "/headers":
            self.answer(200, json.dumps(dict(self.headers.items())), kind="application/json")
        elif self.path == "/" and SETTING("SPOILED") and Path(SETTING("SPOILED", "")).exists():
            self.answer(500, "no such column")
        elif self.path == "/" and SETTING("FRONT"):
            if next(PAGES) > 20 and (spoils := SETTING("SPOILS")):
                Path(spoils).touch()
            code, body, kind = FRONTS[SETTING("FRONT", "")]
            self.answer(code, body, kind=kind)
        elif self.path == "/":
            time.sleep(float(SETTING("SLOW", "0")))
            if next(PAGES) == int(SETTING("DIE_AFTER_PAGES", "0")):
                os._exit(1)
            script = f"<script src=/assets/app.{VERSION}.js></script>" if SETTING("ASSETS") else ""
            self.answer(200, f"A page.{script}", kind="text/html" if script else "text/plain")
        elif SETTING("ASSETS") and self.path == f"/assets/app.{VERSION}.js":
            self.answer(200, f'import("./lazy.{VERSION}.js")', kind="text/javascript")
        elif SETTING("ASSETS") and self.path == f"/assets/lazy.{VERSION}.js":
            self.answer(200, f"// {VERSION}", kind="text/javascript")
        elif SETTING("ASSETS") == "page":
            self.answer(200, "A page.", kind="text/html")
        else:
            self.answer(404, "Not here.")

    do_GET = do_HEAD = do_POST = respond  # noqa: N815 - names of the standard library


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024


def main() -> None:
    server = Server((os.environ["HOST"], int(os.environ["PORT"])), Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever(poll_interval=0.05)


if __name__ == "__main__":
    main()
