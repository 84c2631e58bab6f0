"""The four endpoints that a release reads."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.examples.conftest import SlotProcess

FOUR = ["/api/health", "/api/health/ready", "/api/health/live", "/api/deployment/status"]


class _Service(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.asked = True  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Keeps the test's output clean."""


@pytest.fixture
def service() -> Iterator[socketserver.TCPServer]:
    """Another service, reachable."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Service) as server:
        server.asked = False  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def _url(server: socketserver.TCPServer) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}/status"


UNREACHABLE = "http://127.0.0.1:1/status"


@pytest.mark.parametrize("path", FOUR)
def test_every_endpoint_of_a_healthy_slot_answers_200_and_forbids_caching(slot: SlotProcess, path: str) -> None:
    answer = slot.client.get(path)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", FOUR)
def test_head_gives_the_headers_of_get(slot: SlotProcess, path: str) -> None:
    answer = slot.client.head(path)
    assert answer.status_code == 200
    assert answer.content == b""
    assert answer.headers["x-deployment-version"] == "v1.2.0"


def test_health_has_the_documented_fields(slot: SlotProcess) -> None:
    payload = slot.client.get("/api/health").json()
    assert list(payload) == ["status", "timestamp", "uptime", "version", "deployment", "checks", "system"]
    assert payload["status"] == "healthy"
    assert payload["version"] == "v1.2.0"
    assert payload["deployment"] == {"slot": "blue", "timestamp": "2026-01-02T03:04:05Z"}
    assert payload["uptime"] > 0
    assert {check["name"] for check in payload["checks"]} == {"memory", "cpu", "event_loop", "order_store"}
    assert 0 < payload["system"]["memory"]["used"] < payload["system"]["memory"]["limit"]
    assert payload["system"]["cpu"]["cores"] >= 1


def test_readiness_checks_dependencies_memory_and_warm_up(slot: SlotProcess) -> None:
    payload = slot.client.get("/api/health/ready").json()
    assert {check["name"] for check in payload["checks"]} == {"warm_up", "memory", "order_store"}


def test_liveness_checks_process_growth_event_loop_and_functions(slot: SlotProcess) -> None:
    payload = slot.client.get("/api/health/live").json()
    names = {check["name"] for check in payload["checks"]}
    assert names == {"process", "memory_leak", "event_loop", "basic_functions"}


def test_deployment_status_has_the_documented_fields(slot: SlotProcess) -> None:
    payload = slot.client.get("/api/deployment/status").json()
    assert list(payload) == ["deployment", "application", "health", "system"]
    assert payload["deployment"]["slot"] == "blue"
    assert payload["deployment"]["version"] == "v1.2.0"
    assert payload["deployment"]["timestamp"] == "2026-01-02T03:04:05Z"
    assert payload["deployment"]["status"] in {"active", "inactive"}
    assert payload["application"]["in_flight"] == 0


def test_deployment_status_turns_active_when_users_come(serve: Callable[..., SlotProcess]) -> None:
    slot = serve().ready()
    assert slot.client.get("/api/deployment/status").json()["deployment"]["status"] == "inactive"
    slot.client.get("/")
    assert slot.client.get("/api/deployment/status").json()["deployment"]["status"] == "active"


def test_memory_near_the_limit_is_unhealthy(serve: Callable[..., SlotProcess]) -> None:
    slot = serve(MEMORY_LIMIT="16m").listen()
    assert slot.client.get("/api/health").status_code == 503
    assert slot.client.get("/api/health").json()["status"] == "unhealthy"
    assert slot.client.get("/api/deployment/status").json()["deployment"]["status"] == "failed"


def test_an_unreachable_outside_api_degrades(serve: Callable[..., SlotProcess]) -> None:
    answer = serve(OUTSIDE_API_URL=UNREACHABLE).ready().client.get("/api/health/ready")
    assert answer.status_code == 200
    assert answer.json()["status"] == "degraded"


def test_an_unreachable_dependency_is_unhealthy(serve: Callable[..., SlotProcess]) -> None:
    slot = serve(DEPENDENCY_URL=UNREACHABLE).listen()
    answer = slot.client.get("/api/health/ready")
    assert answer.status_code == 503
    assert answer.json()["status"] == "unhealthy"


def test_an_unreachable_dependency_leaves_liveness_alone(serve: Callable[..., SlotProcess]) -> None:
    answer = serve(DEPENDENCY_URL=UNREACHABLE).listen().client.get("/api/health/live")
    assert (answer.status_code, answer.json()["status"]) == (200, "healthy")


def test_reachable_services_are_healthy(serve: Callable[..., SlotProcess], service: socketserver.TCPServer) -> None:
    slot = serve(DEPENDENCY_URL=_url(service), OUTSIDE_API_URL=_url(service)).ready()
    statuses = {check["name"]: check["status"] for check in slot.client.get("/api/health").json()["checks"]}
    assert (statuses["dependency"], statuses["outside_api"]) == ("healthy", "healthy")


def test_liveness_asks_no_other_service(serve: Callable[..., SlotProcess], service: socketserver.TCPServer) -> None:
    slot = serve(DEPENDENCY_URL=_url(service), OUTSIDE_API_URL=_url(service)).listen()
    slot.client.get("/api/health/live")
    assert service.asked is False  # type: ignore[attr-defined]


def test_an_order_store_that_cannot_be_opened_is_unhealthy(serve: Callable[..., SlotProcess]) -> None:
    slot = serve(DATA_DIR="/proc/nowhere").listen()
    assert slot.client.get("/api/health/ready").status_code == 503
    assert slot.client.get("/api/health/live").status_code == 200
    assert slot.client.post("/api/orders", json={}, headers={"Idempotency-Key": "k"}).status_code == 503
