"""The front: every request is counted, logged, identified and answered, whatever happens behind it.

Plain ASGI, because it stands in the way of every request. The headers that name slot and version are added by the
server (server.py), so that they are also on what it answers by itself, such as 400 for a request that is no HTTP.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
import traceback
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.websockets import WebSocket

from .answers import Answer, answer_error
from .deployment import DeploymentStatus
from .drain import Drain
from .health import Health
from .order_routes import OrderRoutes
from .orders import OrderStore, StoreUnavailable
from .request_log import RequestLog
from .routes import Route, Routes
from .shop import Shop
from .streams import Streams
from .transfer import download, upload
from .vitals import Vitals

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import Message, Receive, Scope, Send

    from .environment import Environment

_WEBSOCKET_PATH = "/api/ws"
_CRASH_STATUS = 70


class Application:
    """The ASGI application of one slot."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.drain = Drain()
        self.in_flight = 0
        self.streams = 0
        self.served = 0
        self.last_user_request = float("-inf")
        self._misbehaviour = environment.misbehaviour
        self._user_requests = 0
        self._leaked: list[bytes] = []
        self._identity = {"slot": environment.shown_slot, "version": environment.shown_version}
        self._log = RequestLog(environment.request_log, **self._identity)
        self._store = OrderStore(
            environment.data_dir, **self._identity, executes_twice=self._misbehaviour.executes_orders_twice
        )
        self._vitals = Vitals(environment.memory_limit)
        self._health = Health(environment, self._store, self._vitals)
        self._streams = Streams(environment, self.drain)
        self._routes = Routes(self._table())

    @property
    def is_draining(self) -> bool:
        return self.drain.has_begun

    def start(self) -> None:
        """The background work runs; readiness follows when the warm-up is done."""
        self.drain.attach(asyncio.get_running_loop())
        self._store.start()
        self._vitals.start()
        self._warm_up = asyncio.create_task(self._health.warm_up(), name="warm-up")

    async def stop(self) -> None:
        """Everything asked of the order store is on disk."""
        self._warm_up.cancel()
        self._vitals.stop()
        await self._store.stop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._serve(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._serve_websocket(scope, receive, send)

    def _table(self) -> dict[str, Route]:
        shop = Shop(self.environment, self.drain)
        orders = OrderRoutes(self._store)
        deployment = DeploymentStatus(self.environment, self._health, self)
        return {
            "/": Route({"GET": shop.page}),
            "/static/site.css": Route({"GET": shop.style}),
            "/api/orders": Route({"POST": orders.place, "GET": orders.count}),
            "/api/orders/{key}": Route({"GET": orders.find, "PUT": orders.replace, "DELETE": orders.delete}),
            "/api/catalogue": Route({"GET": shop.catalogue}),
            "/api/slow": Route({"GET": shop.slow}),
            "/api/poll": Route({"GET": shop.poll}),
            "/api/echo": Route({"POST": shop.echo, "PUT": shop.echo}),
            "/api/upload": Route({"POST": upload, "PUT": upload}),
            "/api/download": Route({"GET": download}),
            "/api/events": Route({"GET": self._streams.events}, is_stream=True),
            "/api/health": Route({"GET": self._health.answer_health}, is_user=False),
            "/api/health/ready": Route({"GET": self._health.answer_ready}, is_user=False),
            "/api/health/live": Route({"GET": self._health.answer_live}, is_user=False),
            "/api/deployment/status": Route({"GET": deployment.answer}, is_user=False),
        }

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, path, request_id = scope["method"], scope["path"], _request_id(scope)
        route, scope["path_params"] = self._routes.find(path)
        status = 0

        async def send_noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if self.drain.has_begun:
                    message["headers"].append((b"connection", b"close"))
                await send(message)
            else:
                await send(message)
                if not message.get("more_body", False):
                    self._log.end(request_id, method, path, status)

        self._log.begin(request_id, method, path)
        is_stream = route is not None and route.is_stream
        self._count(is_stream, 1)
        try:
            response = await self._answer(Request(scope, receive), route)
            await response(scope, receive, send_noting)
        except ClientDisconnect:
            pass  # nobody is left to answer
        finally:
            self._count(is_stream, -1)
            self.served += 1

    async def _answer(self, request: Request, route: Route | None) -> Response:
        """The endpoint's response; every failure becomes a response too."""
        try:
            if route is None:
                return answer_error(404, f"there is nothing at {request.scope['path']}")
            endpoint = route.methods.get(request.method)
            if endpoint is None:
                message = f"{request.method} is not possible here"
                return answer_error(405, message, headers={"allow": route.allowed})
            if not route.is_user:
                return await endpoint(request)
            self.last_user_request = time.monotonic()
            return await self._misbehave(request) or self._damage(await endpoint(request))
        except HTTPException as error:
            return answer_error(error.status_code, error.detail)
        except StoreUnavailable as error:
            return answer_error(503, str(error), headers={"retry-after": "1"})
        except ClientDisconnect:
            raise
        except Exception:
            traceback.print_exc(file=sys.stderr)
            return answer_error(500, "the application failed; its log says why")

    async def _misbehave(self, request: Request) -> Response | None:
        """What a seeded bad release does to a user's request; an answer when the request ends here."""
        wrong = self._misbehaviour
        self._user_requests += 1
        if wrong.crash_after is not None and self._user_requests > wrong.crash_after:
            os._exit(_CRASH_STATUS)
        if wrong.leak_bytes:
            self._leaked.append(b"x" * wrong.leak_bytes)
        if wrong.slow_seconds:
            await asyncio.sleep(wrong.slow_seconds)
        if wrong.lies_about_health or (wrong.error_rate and random.random() < wrong.error_rate):
            return answer_error(500, "this release fails on purpose")
        return None

    def _damage(self, response: Response) -> Response:
        """The response, at the seeded rate with one wrong bit in its body."""
        rate = self._misbehaviour.corrupt_rate
        if rate and isinstance(response, Answer) and response.body and random.random() < rate:
            body = bytes(response.body)
            response.body = body[:-1] + bytes([body[-1] ^ 1])
        return response

    async def _serve_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, request_id = scope["path"], _request_id(scope)
        websocket = WebSocket(scope, receive, send)
        self._log.begin(request_id, "GET", path)
        self._count(True, 1)
        status = 101
        try:
            if path == _WEBSOCKET_PATH and not self.drain.has_begun:
                self.last_user_request = time.monotonic()
                await self._streams.echo(websocket)
            else:
                status = 404 if path != _WEBSOCKET_PATH else 503
                # The server adds no headers of its own to a refused handshake.
                identity = {f"x-deployment-{name}": value for name, value in self._identity.items()}
                await websocket.send_denial_response(answer_error(status, "no WebSocket here", headers=identity))
        finally:
            self._count(True, -1)
            self.served += 1
            self._log.end(request_id, "GET", path, status)

    def _count(self, is_stream: bool, change: int) -> None:
        if is_stream:
            self.streams += change
        else:
            self.in_flight += change


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            return str(value.decode("latin-1"))
    return ""
