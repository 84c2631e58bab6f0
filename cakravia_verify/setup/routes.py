"""Pages and health endpoints in the source of an application."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cakravia_verify.setup.findings import ProjectFact, Route, Routes
from cakravia_verify.setup.node_routes import node_routes
from cakravia_verify.setup.python_routes import decorated_routes, django_routes
from cakravia_verify.setup.source_files import source_files, text_of

MOST_PAGES: Final = 8
ENDINGS: Final = (".py", ".js", ".mjs", ".cjs", ".ts", ".tsx", ".jsx", ".mdx", ".rb", ".go", ".php", ".java")
# By key of [contract], the best one first.
HEALTH_PATHS: Final = {
    "health": (
        *("/api/health", "/health", "/healthz", "/health/", "/api/healthz", "/api/health/", "/healthcheck"),
        *("/health-check", "/_health", "/healthz/", "/up", "/heartbeat", "/ping", "/api/ping", "/status"),
    ),
    "ready": ("/api/health/ready", "/health/ready", "/readyz", "/ready", "/api/ready", "/health/ready/", "/ready/"),
    "live": ("/api/health/live", "/health/live", "/livez", "/live", "/alive", "/health/live/", "/live/"),
    "status": ("/api/deployment/status",),
}
_ALL_HEALTH: Final = frozenset(path for paths in HEALTH_PATHS.values() for path in paths)
# A health endpoint under another name, such as /api/v1/utils/health-check/.
_HEALTH: Final = re.compile(r"health|liveness|readiness", re.IGNORECASE)
# Such a page answers only to a user who is logged in, never ends, or acts.
_NOT_FOR_EVERYBODY: Final = re.compile(
    r"admin|login|logout|signin|signout|sign-in|sign-up|signup|register|account|profile|settings|dashboard|oauth|auth"
    r"|callback|webhook|delete|remove|checkout|upload|events|stream|socket|\bws\b|metrics|openapi|debug|\bme\b",
    re.IGNORECASE,
)


def routes_in(folder: Path) -> Routes:
    """Return the pages and health endpoints that the source names. Only GET requests without parameters count."""
    routes: dict[Route, str] = {}
    named: dict[str, str] = {}
    knows_slots = False
    for path in source_files(folder, endings=ENDINGS):
        text, name = text_of(path), path.relative_to(folder).as_posix()
        knows_slots = knows_slots or "DEPLOYMENT_SLOT" in text
        for route in _routes_of(folder, path, text):
            if _is_plain(route.path):
                routes.setdefault(route, name)
        for quoted in _quoted_health(text):
            named.setdefault(quoted, name)
    if "rails/health" in text_of(folder / "config" / "routes.rb"):
        named.setdefault("/up", "config/routes.rb")
    named |= {route.path: file for route, file in routes.items() if route.path in _ALL_HEALTH}
    health = {key: path for key, paths in HEALTH_PATHS.items() for path in paths[::-1] if path in named}
    if not health and (spoken := sorted((route.path for route in routes if _HEALTH.search(route.path)), key=len)):
        health["health"] = spoken[0]
        named[spoken[0]] = next(file for route, file in routes.items() if route.path == spoken[0])
    pages = _pages(route.path for route in routes if route.is_sure)[:MOST_PAGES]
    files = {route.path: file for route, file in routes.items()}
    return Routes(
        pages=pages,
        others=tuple(path for path in _pages(route.path for route in routes) if path not in pages),
        health=health,
        knows_slots=knows_slots,
        findings=(
            *(ProjectFact(named[path], f"{key} endpoint {path}") for key, path in health.items()),
            *(ProjectFact(files[path], f"page {path}") for path in pages),
        ),
    )


def _pages(paths: Iterator[str]) -> tuple[str, ...]:
    """Return the paths that users may ask for, each once, the shortest first."""
    apart = (_NOT_FOR_EVERYBODY, _HEALTH)
    for_users = {path for path in paths if path not in _ALL_HEALTH and not any(each.search(path) for each in apart)}
    return tuple(sorted(for_users, key=lambda path: (path.count("/"), path)))


def _is_plain(path: str) -> bool:
    return re.fullmatch(r"/[\w./~-]*", path) is not None


def _quoted_health(text: str) -> Iterator[str]:
    """Yield the health paths that stand between quotes, as a server without a framework compares them."""
    for found in re.finditer(r"['\"`](/[\w/-]+)['\"`]", text):
        if found[1] in _ALL_HEALTH:
            yield found[1]


def _routes_of(folder: Path, path: Path, text: str) -> Iterator[Route]:
    if path.suffix == ".py":
        yield from decorated_routes(text)
        if path.name == "manage.py" and (found := re.search(r"['\"]([\w.]+)\.settings", text)):
            yield from django_routes(path.parent, path.parent.joinpath(*found[1].split(".")) / "urls.py")
        return
    yield from node_routes(path.relative_to(folder).as_posix(), text)
