"""A transport of the prober for tests: it hands over httpx's requests and takes httpx's answers."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from cakravia_verify.system.http_exchange import Headers, HttpRequest, HttpResponse, NoConnectionError


class Unread:
    """Answers requests by calling `answer`. Errors of httpx become those of an exchange."""

    def __init__(self, answer: Callable[[httpx.Request], httpx.Response]) -> None:
        self._answer = answer

    def __call__(self, request: HttpRequest, timeout: float) -> HttpResponse:
        try:
            asked = httpx.Request(
                request.method, request.address.url + request.path, headers=request.headers, content=request.body
            )
            made = self._answer(asked)
        except httpx.InvalidURL as error:
            raise ValueError(str(error)) from error
        except httpx.TimeoutException as error:
            raise TimeoutError(str(error)) from error
        except httpx.ConnectError as error:
            raise NoConnectionError(str(error)) from error
        except httpx.HTTPError as error:
            raise OSError(str(error)) from error
        return HttpResponse(made.status_code, Headers(made.headers.multi_items()), made.content)
