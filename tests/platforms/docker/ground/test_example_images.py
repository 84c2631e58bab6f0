"""The example applications as containers: in Python and in Node with the whole contract, and one with only /health."""

from __future__ import annotations

import hashlib
import socket
import threading
from typing import TYPE_CHECKING

import httpx
import pytest

from cakravia_verify.system.clock import Deadline, poll

if TYPE_CHECKING:
    from docker.models.images import Image

    from tests.platforms.docker.ground.conftest import BuildImage, Running, StartContainer

ENDPOINTS = ("/api/health", "/api/health/ready", "/api/health/live", "/api/deployment/status")


@pytest.fixture(scope="module")
def node_image(build_image: BuildImage) -> Image:
    return build_image("examples/node_app", base="node")


@pytest.fixture(scope="module")
def plain_image(build_image: BuildImage) -> Image:
    return build_image("examples/plain_app", base="nginx")


@pytest.fixture
def node_app(node_image: Image, start_container: StartContainer) -> Running:
    return start_container(
        node_image,
        port=3000,
        path="/api/health/live",
        environment={
            "DEPLOYMENT_SLOT": "green",
            "APP_VERSION": "v1.2.0",
            "DEPLOYMENT_TIMESTAMP": "2024-01-01T00:00:00Z",
        },
    )


@pytest.mark.parametrize("path", ENDPOINTS)
def test_node_answers_each_endpoint_of_the_contract(node_app: Running, path: str) -> None:
    answer = node_app.get(path)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    assert answer.json()["deployment"]["slot"] == "green"


def test_node_reports_its_version_and_timestamp(node_app: Running) -> None:
    deployment = node_app.get("/api/deployment/status").json()["deployment"]
    assert (deployment["version"], deployment["timestamp"]) == ("v1.2.0", "2024-01-01T00:00:00Z")


@pytest.mark.parametrize("path", ["/", "/api/health", "/nowhere"])
def test_node_names_slot_and_version_on_every_answer(node_app: Running, path: str) -> None:
    headers = node_app.get(path).headers
    assert (headers["X-Deployment-Slot"], headers["X-Deployment-Version"]) == ("green", "v1.2.0")


def test_node_echoes_a_body_unchanged(node_app: Running) -> None:
    body = hashlib.sha512(b"seed").digest() * 10_000
    with httpx.Client() as client:
        assert client.post(f"{node_app.url}/api/echo", content=body).content == body


def test_node_answers_what_is_in_flight_before_it_stops(node_app: Running) -> None:
    url = httpx.URL(node_app.url)
    with socket.create_connection((url.host, url.port or 80), timeout=30) as connection:
        connection.sendall(b"POST /api/echo HTTP/1.1\r\nHost: slot\r\nContent-Length: 10\r\n\r\nfirst")
        stopping = threading.Thread(target=node_app.container.stop, kwargs={"timeout": 30})
        stopping.start()
        wait_until_draining(node_app)
        connection.sendall(b"after")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
        stopping.join()
    assert answer.endswith(b"firstafter")
    assert node_app.container.wait()["StatusCode"] == 0


def wait_until_draining(node_app: Running) -> None:
    """The application says that it stops, or has stopped listening."""

    def is_draining() -> bool:
        try:
            return node_app.get("/api/health/ready").status_code == 503
        except httpx.TransportError:
            return True

    poll(is_draining, deadline=Deadline("the application drains", 20))


def test_node_runs_without_root_and_without_capabilities(node_app: Running) -> None:
    _, output = node_app.container.exec_run(["sh", "-c", "id -u; grep CapEff /proc/1/status"])
    assert isinstance(output, bytes)
    assert output.decode().split() == ["1000", "CapEff:", "0000000000000000"]


def test_plain_application_has_only_health(plain_image: Image, start_container: StartContainer) -> None:
    application = start_container(plain_image, port=3000, path="/health")
    answers = [application.get(path) for path in ("/health", "/api/health")]
    assert [answer.status_code for answer in answers] == [200, 404]
    assert not any("X-Deployment-Slot" in answer.headers for answer in answers)


def test_plain_application_stops_gracefully(plain_image: Image, start_container: StartContainer) -> None:
    application = start_container(plain_image, port=3000, path="/health")
    application.container.stop(timeout=20)
    assert application.container.wait()["StatusCode"] == 0


def test_reference_application_is_healthy_under_the_limits_of_a_slot(
    build_image: BuildImage, start_container: StartContainer
) -> None:
    image = build_image("examples/reference_app", base="python")
    application = start_container(
        image, port=3000, path="/api/health/live", environment={"DEPLOYMENT_SLOT": "green", "APP_VERSION": "v1.2.0"}
    )
    poll(
        lambda: application.get("/api/health/ready").status_code == 200,
        deadline=Deadline("the reference application is ready", 30),
    )
    answer = application.get("/api/deployment/status")
    assert answer.json()["deployment"]["version"] == "v1.2.0"
    assert answer.headers["X-Deployment-Slot"] == "green"
