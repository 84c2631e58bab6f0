"""/api/deployment/status: which version this is, what it is doing, and whether it may be stopped."""

from __future__ import annotations

import os
import platform
import time
from typing import TYPE_CHECKING, Any, Protocol

from .answers import Answer, answer_json
from .health import UNHEALTHY

if TYPE_CHECKING:
    from starlette.requests import Request

    from .environment import Environment
    from .health import Health

_ACTIVE_SECONDS = 30.0


class Traffic(Protocol):
    """What the front knows about the requests of this process."""

    in_flight: int
    streams: int
    served: int
    last_user_request: float

    @property
    def is_draining(self) -> bool: ...


class DeploymentStatus:
    """Answers the deployment status.

    `deployment.status`: `deploying` until warm, `failed` while unhealthy, `inactive` while draining or when no user
    came for 30 s, else `active`. The process does not know what the proxy does: only the proxy does.
    """

    def __init__(self, environment: Environment, health: Health, traffic: Traffic) -> None:
        self._environment = environment
        self._health = health
        self._traffic = traffic

    async def answer(self, request: Request) -> Answer:
        checks = await self._health.comprehensive_checks()
        overall = self._health.overall(checks)
        payload = {
            "deployment": {
                "slot": self._environment.shown_slot,
                "timestamp": self._environment.deployed_at,
                "version": self._environment.shown_version,
                "status": self._word(overall),
                "release": self._environment.release,
            },
            "application": self._application(),
            "health": {"status": overall, "checks": {check.name: check.status for check in checks}},
            "system": self._health.system(),
        }
        return answer_json(payload, 503 if overall == UNHEALTHY else 200)

    def _word(self, overall: str) -> str:
        if overall == UNHEALTHY:
            return "failed"
        if not self._health.is_warm:
            return "deploying"
        if self._traffic.is_draining or time.monotonic() - self._traffic.last_user_request > _ACTIVE_SECONDS:
            return "inactive"
        return "active"

    def _application(self) -> dict[str, Any]:
        return {
            "name": "reference_app",
            "pid": os.getpid(),
            "python": platform.python_version(),
            "uptime": self._health.uptime,
            "in_flight": max(0, self._traffic.in_flight - 1),
            "streams": self._traffic.streams,
            "served": self._traffic.served,
            "draining": self._traffic.is_draining,
        }
