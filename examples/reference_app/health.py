"""The three health endpoints: /api/health, /api/health/ready, /api/health/live.

Field names and status words are those of the original's document: `healthy` and `degraded` answer 200, `unhealthy`
answers 503. Liveness asks nobody but this process: a dependency that is down is no reason to restart the application.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import anyio

from .answers import Answer, answer_json
from .orders import OrderStore, StoreUnavailable
from .reachability import Reachability
from .vitals import Vitals, cores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request

    from .environment import Environment

HEALTHY, DEGRADED, UNHEALTHY = "healthy", "degraded", "unhealthy"
_SEVERITY = {HEALTHY: 0, DEGRADED: 1, UNHEALTHY: 2}
_STORE_SECONDS = 1.0


@dataclass(frozen=True)
class Check:
    """The outcome of one check; `values` are its measurements."""

    name: str
    status: str
    message: str
    values: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return {"name": self.name, "status": self.status, "message": self.message, **self.values}


def worst(checks: Sequence[Check]) -> str:
    return max((check.status for check in checks), key=_SEVERITY.__getitem__, default=HEALTHY)


def _grade(value: float, *, degraded: float, unhealthy: float) -> str:
    return UNHEALTHY if value >= unhealthy else DEGRADED if value >= degraded else HEALTHY


class Health:
    """Answers the health endpoints from real checks; `warm_up` must run once before readiness holds."""

    def __init__(self, environment: Environment, store: OrderStore, vitals: Vitals) -> None:
        self._environment = environment
        self._misbehaviour = environment.misbehaviour
        self._store = store
        self._vitals = vitals
        self._started = time.monotonic()
        self._is_warm = False
        self._readings_to_flap = self._misbehaviour.flapping_readings
        dependency, outside = environment.dependency_url, environment.outside_api_url
        self._dependency = Reachability(dependency, keep_seconds=1) if dependency else None
        self._outside_api = Reachability(outside, keep_seconds=5) if outside else None

    @property
    def is_warm(self) -> bool:
        return self._is_warm

    @property
    def uptime(self) -> float:
        return round(time.monotonic() - self._started, 3)

    async def warm_up(self) -> None:
        """The order store has answered and the application's own functions have run once."""
        while _functions().status != HEALTHY or (await self._order_store()).status != HEALTHY:
            await asyncio.sleep(0.1)
        # The first streamed answer would import this on the event loop, with users waiting.
        async with anyio.create_task_group():
            pass
        if self._misbehaviour.late_ready:
            await asyncio.sleep(max(0.0, self._misbehaviour.late_ready - self.uptime))
        self._is_warm = not self._misbehaviour.never_ready

    async def answer_health(self, request: Request) -> Answer:
        return self._answer(await self.comprehensive_checks(), system=self.system())

    async def answer_ready(self, request: Request) -> Answer:
        return self._answer(await self._ready_checks())

    async def answer_live(self, request: Request) -> Answer:
        return self._answer([self._process(), self._memory_leak(), self._event_loop(), _functions()])

    async def comprehensive_checks(self) -> list[Check]:
        return [self._memory(), self._cpu(), self._event_loop(), *await self._dependencies()]

    def overall(self, checks: Sequence[Check]) -> str:
        return HEALTHY if self._misbehaviour.lies_about_health else worst(checks)

    def system(self) -> dict[str, Any]:
        memory, growth = self._vitals.memory(), self._vitals.growth()
        load = [round(value, 2) for value in os.getloadavg()]
        return {
            "memory": {
                "used": memory.used,
                "limit": memory.limit,
                "percentage": round(memory.share * 100, 2),
                "source": memory.source,
                "growth": growth.grown,
            },
            "cpu": {"usage": round(self._vitals.cpu_share() * 100, 2), "cores": cores(), "load": load},
            "event_loop": {
                "lag_ms": round(self._vitals.lag_seconds() * 1000, 3),
                "worst_lag_ms": round(self._vitals.worst_lag_seconds() * 1000, 3),
            },
        }

    def _answer(self, checks: Sequence[Check], **more: Any) -> Answer:
        status = self.overall(checks)
        payload = {
            "status": status,
            "timestamp": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "uptime": self.uptime,
            "version": self._environment.shown_version,
            "deployment": {"slot": self._environment.shown_slot, "timestamp": self._environment.deployed_at},
            "checks": [
                {**check.as_dict(), "status": HEALTHY} if self._misbehaviour.lies_about_health else check.as_dict()
                for check in checks
            ],
            **more,
        }
        return answer_json(payload, 503 if status == UNHEALTHY else 200)

    async def _ready_checks(self) -> list[Check]:
        checks = [self._warm_up(), self._memory(), *await self._dependencies()]
        if self._is_warm and self._readings_to_flap:
            # Good, bad, good, bad ...: a gate that takes one good reading for health falls for the first.
            is_bad = (self._misbehaviour.flapping_readings - self._readings_to_flap) % 2 == 1
            self._readings_to_flap -= 1
            if is_bad:
                checks.append(Check("flapping", UNHEALTHY, "this release flaps on purpose"))
        return checks

    async def _dependencies(self) -> list[Check]:
        checks = [self._order_store()]
        if self._dependency:
            checks.append(_reach("dependency", self._dependency, otherwise=UNHEALTHY))
        if self._outside_api:
            checks.append(_reach("outside_api", self._outside_api, otherwise=DEGRADED))
        return await asyncio.gather(*checks)

    async def _order_store(self) -> Check:
        started = time.monotonic()
        try:
            async with asyncio.timeout(_STORE_SECONDS):
                await self._store.ping()
        except TimeoutError:
            return Check("order_store", UNHEALTHY, f"the order store did not answer within {_STORE_SECONDS:g} s")
        except StoreUnavailable as error:
            return Check("order_store", UNHEALTHY, str(error))
        took = {"response_ms": round((time.monotonic() - started) * 1000, 3)}
        return Check("order_store", HEALTHY, "the order store answers", took)

    def _warm_up(self) -> Check:
        if self._is_warm:
            return Check("warm_up", HEALTHY, "the application is warm")
        return Check("warm_up", UNHEALTHY, "the application is still warming up")

    def _process(self) -> Check:
        values = {"pid": os.getpid(), "threads": threading.active_count()}
        return Check("process", HEALTHY, "the process answers", values)

    def _memory(self) -> Check:
        memory = self._vitals.memory()
        status = _grade(memory.share, degraded=0.85, unhealthy=0.95)
        message = f"{memory.used // 1024**2} of {memory.limit // 1024**2} MiB in use ({memory.source})"
        return Check("memory", status, message, {"percentage": round(memory.share * 100, 2)})

    def _memory_leak(self) -> Check:
        growth, memory = self._vitals.growth(), self._vitals.memory()
        status = HEALTHY
        if growth.is_leak:
            status = UNHEALTHY if memory.share >= 0.9 else DEGRADED
        message = f"{growth.grown // 1024**2} MiB more than {growth.seconds:.0f} s ago"
        return Check("memory_leak", status, message, {"growth": growth.grown})

    def _cpu(self) -> Check:
        share = self._vitals.cpu_share()
        # Never unhealthy: taking a busy slot out of service makes the other one busier.
        status = DEGRADED if share >= 0.97 else HEALTHY
        return Check("cpu", status, f"{share:.0%} of one core over the last 5 s", {"usage": round(share * 100, 2)})

    def _event_loop(self) -> Check:
        lag = self._vitals.lag_seconds()
        status = _grade(lag, degraded=0.1, unhealthy=1.0)
        return Check("event_loop", status, f"lag {lag * 1000:.1f} ms", {"lag_ms": round(lag * 1000, 3)})


async def _reach(name: str, service: Reachability, *, otherwise: str) -> Check:
    reach = await service.ask()
    status = HEALTHY if reach.is_reachable else otherwise
    return Check(name, status, reach.message, {"response_ms": round(reach.seconds * 1000, 3)})


def _functions() -> Check:
    """What every endpoint relies on still gives the known result."""
    is_right = json.loads(json.dumps({"a": [1, "é"]})) == {"a": [1, "é"]} and sha256(b"").hexdigest()[:8] == "e3b0c442"
    return Check("basic_functions", HEALTHY if is_right else UNHEALTHY, "JSON and SHA-256 give their known results")
