"""The mixes that come with the package."""

from __future__ import annotations

from cakravia_verify.traffic.plan.mix import CHECKSUM_HEADER, Body, MixEntry

_CLOSE = (("Connection", "close"),)

GENERIC_MIX = (
    MixEntry("page", weight=7.0),
    MixEntry("page, fresh connection", weight=1.0, headers=_CLOSE),
    MixEntry("page, packed", weight=2.0, headers=(("Accept-Encoding", "gzip"),)),
)
"""For any application: its front page, nine times of ten over a kept connection, and packed if the site packs."""

_TITLE = "<h1>Cakravia</h1>"

DEFAULT_MIX = (
    MixEntry("page", weight=30.0, contains=_TITLE),
    MixEntry("page, fresh connection", weight=5.0, headers=_CLOSE, contains=_TITLE),
    MixEntry("page, head", "HEAD", weight=2.0),
    MixEntry("order", "POST", "/api/orders", weight=25.0, headers=(("Idempotency-Key", "{id}"),), body=Body("order")),
    MixEntry(
        "order, fresh connection",
        "POST",
        "/api/orders",
        weight=3.0,
        headers=(("Idempotency-Key", "{id}"), *_CLOSE),
        body=Body("order"),
    ),
    MixEntry("order, put", "PUT", "/api/orders/{id}", weight=5.0, body=Body("order")),
    MixEntry("order, delete", "DELETE", "/api/orders/{id}", weight=3.0, expected=(200, 202, 204, 404)),
    MixEntry("echo", "POST", "/api/echo", weight=15.0, body=Body("random", size=2048), verify="echo"),
    MixEntry(
        "echo, chunked", "POST", "/api/echo", weight=2.0, body=Body("random", size=9000, chunked=True), verify="echo"
    ),
    MixEntry(
        "upload, expect",
        "POST",
        "/api/upload",
        weight=1.0,
        headers=(("Expect", "100-continue"),),
        body=Body("random", size=65536),
    ),
    MixEntry("download", path="/api/download?bytes=16384", weight=6.0, verify=CHECKSUM_HEADER),
    MixEntry("download, chunked", path="/api/download?bytes=16384&chunked=1", weight=2.0),
    MixEntry("slow", path="/api/slow?seconds=1", weight=1.0),
)
"""Every kind of request that a switch must not hurt, for an application with the routes of the reference site."""
