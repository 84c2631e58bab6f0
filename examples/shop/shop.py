"""A foreign shop: standard library only, one health endpoint, a price list, a login, and a page with a script."""

from __future__ import annotations

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import ClassVar

PRICES = {"tea": "4.50"}
VERSION = os.environ["APP_VERSION"]
WRONG_PRICE, BROKEN_SCRIPT = "wrong-price" in VERSION, "broken-script" in VERSION
NO_LOGIN, FLAKY = "no-login" in VERSION, "flaky" in VERSION
COUNTER = count(1)
SCRIPT = "noSuchFunction()" if BROKEN_SCRIPT else "document.title = document.title + ' is open'"
HEAD = "<!doctype html><title>Shop</title><link rel=icon href='data:,'>"
FRONT = f"{HEAD}<h1>Our shop</h1><script>{SCRIPT}</script>"
FORM = f"{HEAD}<form method=post><input name=user><input name=word type=password><button>Log in</button></form>"


class Shop(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    PAGES: ClassVar[dict[str, tuple[str, str]]] = {
        "/": ("text/html", FRONT),
        "/login": ("text/html", FORM),
        "/health": ("application/json", json.dumps({"status": "ok"})),
        "/prices": ("application/json", json.dumps({"tea": "45.0"} if WRONG_PRICE else PRICES)),
    }

    def do_GET(self) -> None:
        if FLAKY and self.path == "/" and next(COUNTER) % 25 == 0:
            self._answer(500, "text/plain", "the shelf fell down")
            return
        kind, text = self.PAGES.get(self.path, ("text/plain", ""))
        self._answer(200 if text else 404, kind, text)

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers["Content-Length"])).decode()
        is_known = "user=ann" in sent and "word=tea" in sent and not NO_LOGIN
        text = "<h1>Welcome, ann</h1>" if is_known else "<h1>No</h1>"
        self._answer(200 if is_known else 403, "text/html", HEAD + text)

    def _answer(self, status: int, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Write no log."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


Server((os.environ["HOST"], int(os.environ["PORT"])), Shop).serve_forever()
