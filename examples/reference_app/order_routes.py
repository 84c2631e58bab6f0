"""Orders over HTTP: POST places one exactly once, under its Idempotency-Key or else its X-Request-ID.

A repetition is answered with 200 and `replayed: true` instead of 201; the same key with another body with 422.
"""

from __future__ import annotations

import json
import re
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.exceptions import HTTPException

from .answers import answer_json
from .parameters import read_body

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from .orders import Order, OrderStore

_LIMIT = 1024**2
_KEY = re.compile(r"[\x21-\x7e]{1,200}")


class OrderRoutes:
    """The endpoints below /api/orders."""

    def __init__(self, store: OrderStore) -> None:
        self._store = store

    async def place(self, request: Request) -> Response:
        key = request.headers.get("idempotency-key") or request.headers.get("x-request-id") or ""
        if not _KEY.fullmatch(key):
            raise HTTPException(400, "send an Idempotency-Key (or X-Request-ID) of 1 to 200 visible ASCII characters")
        body = await _read_order(request)
        digest = sha256(body).hexdigest()
        order = await self._store.place(key, body, digest)
        if order.digest != digest:
            raise HTTPException(422, f"the key {key} belongs to an order with another body")
        location = {"location": f"/api/orders/{quote(key, safe='')}"}
        return answer_json(_receipt(order), 200 if order.is_replay else 201, headers=location)

    async def count(self, request: Request) -> Response:
        """All orders together, and the keys of those executed more than once."""
        count = await self._store.count()
        totals = {"orders": count.orders, "executions": count.executions, "presented": count.presented}
        return answer_json({**totals, "executed_more_than_once": count.repeated})

    async def find(self, request: Request) -> Response:
        """How often the order was executed and presented; 410 with the same facts once it is deleted."""
        order = _known(await self._store.find(_key(request)), request)
        return answer_json({**_receipt(order), "body": json.loads(order.body)}, 410 if order.deleted else 200)

    async def replace(self, request: Request) -> Response:
        body = await _read_order(request)
        order = await self._store.replace(_key(request), body, sha256(body).hexdigest())
        return answer_json(_receipt(order))

    async def delete(self, request: Request) -> Response:
        return answer_json(_receipt(_known(await self._store.delete(_key(request)), request)))


async def _read_order(request: Request) -> bytes:
    body = await read_body(request, limit=_LIMIT)
    try:
        is_object = isinstance(json.loads(body), dict)
    except (ValueError, RecursionError):
        is_object = False
    if not is_object:
        raise HTTPException(400, "an order is a JSON object")
    return body


def _key(request: Request) -> str:
    key: str = request.scope["path_params"]["key"]
    if not _KEY.fullmatch(key):
        raise HTTPException(400, "the key of an order has 1 to 200 visible ASCII characters")
    return key


def _known(order: Order | None, request: Request) -> Order:
    if order is None:
        raise HTTPException(404, f"there is no order {_key(request)}")
    return order


def _receipt(order: Order) -> dict[str, Any]:
    return {
        "order": order.key,
        "number": order.number,
        "executions": order.executions,
        "presented": order.presented,
        "replayed": order.is_replay,
        "replacements": order.replacements,
        "deleted": bool(order.deleted),
        "placed": {"slot": order.slot, "version": order.version, "at": order.placed},
    }
