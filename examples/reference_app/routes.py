"""Which endpoint answers which path and method."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

Endpoint = Callable[[Request], Awaitable[Response]]
_KEY = "{key}"


@dataclass(frozen=True, slots=True)
class Route:
    """One path; `is_user` marks what users ask for (health probes are not), `is_stream` what lives long."""

    methods: Mapping[str, Endpoint]
    is_user: bool = True
    is_stream: bool = False

    @property
    def allowed(self) -> str:
        return ", ".join(sorted(self.methods))


class Routes:
    """Exact paths, and paths that end in a key (`/api/orders/{key}`)."""

    def __init__(self, table: Mapping[str, Route]) -> None:
        routes = {path: _with_head(route) for path, route in table.items()}
        self._exact = {path: route for path, route in routes.items() if not path.endswith(_KEY)}
        self._keyed = [(path.removesuffix(_KEY), route) for path, route in routes.items() if path.endswith(_KEY)]

    def find(self, path: str) -> tuple[Route | None, dict[str, str]]:
        """The route of `path` and what its key stands for."""
        route = self._exact.get(path)
        if route is not None:
            return route, {}
        for folder, keyed in self._keyed:
            if path.startswith(folder) and len(path) > len(folder):
                return keyed, {"key": path[len(folder) :]}
        return None, {}


def _with_head(route: Route) -> Route:
    if "GET" not in route.methods or route.is_stream:
        return route
    return Route({**route.methods, "HEAD": route.methods["GET"]}, route.is_user, route.is_stream)
