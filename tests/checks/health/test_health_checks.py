"""What answers of health endpoints must fulfil, each rule on answers that keep it and that break it."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from cakravia_verify.checks.health.agreement import disagreement
from cakravia_verify.checks.health.caching import may_be_cached
from cakravia_verify.checks.health.content_type import wrong_type
from cakravia_verify.checks.health.disclosure import disclosed
from cakravia_verify.checks.health.latency import too_slow
from cakravia_verify.checks.health.liveness import asks_others, dies_with_readiness
from cakravia_verify.health.models import Reading
from cakravia_verify.health.probe import Answer
from cakravia_verify.slots import Colour
from cakravia_verify.testing.memory import running_slot


def answer(body: Any = b"", **headers: str) -> Answer:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = httpx.Headers({name.replace("_", "-"): value for name, value in headers.items()})
    return Answer(200, named, content, "", 0.001)


def reading(endpoint: str = "health", **facts: Any) -> Reading:
    given: dict[str, Any] = {"status_code": 200, "state": "", "slot": None, "version": None, "problem": ""}
    given |= facts
    return Reading(endpoint=endpoint, url="http://x", in_flight=None, latency=0.001, **given)


@pytest.mark.parametrize(
    "good",
    [
        answer({"status": "ok"}, Content_Type="application/json"),
        answer({"status": "pass"}, Content_Type="application/health+json"),
        answer({"status": "UP"}, Content_Type="application/vnd.spring-boot.actuator.v3+json; charset=UTF-8"),
        answer(b"OK", Content_Type="text/plain"),
        answer(b"OK"),
        answer(b"", Content_Type="application/json"),
    ],
)
def test_json_health_json_and_plain_words_are_fine(good: Answer) -> None:
    assert wrong_type(good) == ""


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (answer(b"<html>", Content_Type="application/json"), "is no JSON"),
        (answer({"status": "ok"}, Content_Type="text/html"), "send application/json"),
        (answer({"status": "ok"}), "Content-Type is missing"),
        (answer({"status": "ok"}, Content_Type="application/json; charset=utf-16"), "JSON is UTF-8"),
    ],
)
def test_a_body_of_another_type_is_told(bad: Answer, words: str) -> None:
    assert words in wrong_type(bad)


@pytest.mark.parametrize("value", ["no-store", "No-Store, max-age=0", "private, no-store"])
def test_an_answer_with_no_store_is_fine(value: str) -> None:
    assert may_be_cached(answer(Cache_Control=value)) == ""


@pytest.mark.parametrize("headers", [{}, {"Cache_Control": "max-age=60"}, {"Cache_Control": "no-cache"}])
def test_an_answer_that_a_cache_may_keep_is_told(headers: dict[str, str]) -> None:
    assert "no-store" in may_be_cached(answer(**headers))


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ('Traceback (most recent call last):\n  File "shop.py", line 3', "Python traceback"),
        ("Error: x\n    at Object.<anonymous> (/app/server.js:3:7)", "JavaScript"),
        ("\tat com.shop.Health.check(Health.java:42)", "Java"),
        ("#0 /var/www/html/index.php(12): main()", "PHP"),
        ("goroutine 1 [running]:", "Go"),
        ('{"config": "/etc/shop/config.yml"}', "path of the machine"),
        ('{"database": "postgres://shop:hunter2@db/shop"}', "address with a password"),
        ("-----BEGIN RSA PRIVATE KEY-----", "private key"),
        ('{"aws": "AKIAIOSFODNN7EXAMPLE"}', "key of a cloud"),
        ('{"db_password": "hunter2"}', "secret by its name"),
        ('{"error": "SELECT * FROM users WHERE id = 1"}', "SQL"),
        ('{"note": "correct horse battery"}', "value of a secret"),
    ],
)
def test_what_strangers_should_not_learn_is_found(body: str, what: str) -> None:
    found = disclosed(answer(body.encode()), secrets=["correct horse battery"])
    assert any(what in each for each in found), found


@pytest.mark.parametrize(
    "body",
    [
        {"status": "healthy", "version": "v1.2.0", "checks": [{"name": "database", "status": "healthy"}]},
        {"uptime": 3600, "timestamp": "2024-01-01T00:00:00Z", "deployment": {"slot": "blue"}},
        {"links": {"self": "https://shop.example/api/health"}, "docs": "/api/docs"},
        {"system": {"memory": {"used": 1}, "cpu": {"load": 0.1}}},
    ],
)
def test_an_ordinary_answer_discloses_nothing(body: dict[str, Any]) -> None:
    assert disclosed(answer(body), secrets=["short"]) == []


def test_the_slowest_answer_counts() -> None:
    assert too_slow([0.1, 0.2], limit=1.0) == ""
    assert "2.500 s (limit 1 s)" in too_slow([0.1, 2.5, 0.1], limit=1.0)


def test_an_endpoint_of_another_version_disagrees() -> None:
    slot = running_slot(Colour.BLUE, "v1")
    good = reading(slot="blue", version="v1")
    assert disagreement([good, reading(), reading(status_code=None)], slot) == []
    assert len(disagreement([good, reading(version="v0"), reading(slot="green")], slot)) == 2


def test_liveness_that_checks_a_database_is_told() -> None:
    assert asks_others({"checks": [{"name": "event loop"}, {"name": "postgres"}]}) == ["postgres"]
    assert asks_others({"components": {"redis": {"status": "UP"}, "ping": {}}}) == ["redis"]
    assert asks_others({"checks": [{"name": "process"}, "odd", None]}) == []
    assert asks_others("ok") == []


def test_liveness_that_dies_with_a_dependency_is_told() -> None:
    down = {"ready": reading("ready", status_code=503, problem="status 503")}
    ill = reading("live", status_code=503, problem="status 503")
    assert "restart the slot" in dies_with_readiness(ill, down)
    assert dies_with_readiness(reading("live"), down) == ""
