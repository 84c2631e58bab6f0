"""Orders in a Postgres table, by the columns that this version knows.

v1 uses the column `note`. v2 writes `note` and `comment`, and reads either. v3 uses `comment` alone.
"""

from __future__ import annotations

import os
import threading

import psycopg
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

VERSION, SLOT = os.environ["APP_VERSION"], os.environ["DEPLOYMENT_SLOT"]
HEADERS = {"X-Deployment-Slot": SLOT, "X-Deployment-Version": VERSION}
STATEMENTS = {
    "v1": ("INSERT INTO orders (note) VALUES (%(text)s)", "SELECT note FROM orders ORDER BY id DESC LIMIT 1"),
    "v2": (
        "INSERT INTO orders (note, comment) VALUES (%(text)s, %(text)s)",
        "SELECT coalesce(comment, note) FROM orders ORDER BY id DESC LIMIT 1",
    ),
    "v3": ("INSERT INTO orders (comment) VALUES (%(text)s)", "SELECT comment FROM orders ORDER BY id DESC LIMIT 1"),
}
INSERT, SELECT = STATEMENTS[VERSION.partition("-")[0]]
own = threading.local()


def connection() -> psycopg.Connection[tuple[str]]:
    if getattr(own, "connection", None) is None:
        own.connection = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
    found: psycopg.Connection[tuple[str]] = own.connection
    return found


def show(request: Request) -> Response:
    row = connection().execute(SELECT).fetchone()
    return JSONResponse({"order": row[0] if row else None}, headers=HEADERS)


def add(request: Request) -> Response:
    connection().execute(INSERT, {"text": "an order"})
    return JSONResponse({"added": True}, headers=HEADERS)


async def health(request: Request) -> Response:
    return JSONResponse({"status": "healthy", "version": VERSION, "deployment": {"slot": SLOT}}, headers=HEADERS)


application = Starlette(
    routes=[Route("/health", health), Route("/orders", show), Route("/orders", add, methods=["POST"])]
)
if __name__ == "__main__":
    uvicorn.run(
        application, host=os.environ["HOST"], port=int(os.environ["PORT"]), log_level="warning", timeout_keep_alive=60
    )
