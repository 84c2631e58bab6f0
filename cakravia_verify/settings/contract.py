"""The settings of the health endpoints."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from cakravia_verify.settings.section import Codes, Section, UrlPath
from cakravia_verify.settings.traffic_mix import Headers, OptionalHeaderName

# Words that say that an application is ill. Case does not count; a space, "-" and "_" are the same.
UNHEALTHY_WORDS = (
    *("unhealthy", "down", "fail", "failed", "failing", "failure", "error", "critical", "dead", "red", "false"),
    *("unavailable", "out of service", "not serving", "service unknown", "not ready", "not ok", "offline"),
    *("starting", "initializing", "deploying", "inactive", "stopping", "stopped", "terminating", "shutting down"),
)


class ContractSettings(Section):
    """The application's health endpoints, and its fields for slot and version. An empty path: no such endpoint.

    `outage` is a command that takes a dependency away for a check, and `recovery` gives it back.
    """

    health: UrlPath = "/api/health"
    ready: UrlPath = "/api/health/ready"
    live: UrlPath = "/api/health/live"
    status: UrlPath = "/api/deployment/status"
    healthy_codes: Codes = (200,)
    health_field: str = "status|status.code|status.status|status.state|state|healthy|ok"
    unhealthy_words: Annotated[tuple[str, ...], Field(strict=False)] = UNHEALTHY_WORDS
    slot_field: str = "deployment.slot"
    version_field: str = "deployment.version|version"
    slot_header: OptionalHeaderName = "X-Deployment-Slot"
    version_header: OptionalHeaderName = "X-Deployment-Version"
    in_flight_field: str = "application.in_flight"
    headers: Headers = Field(default_factory=dict)
    outage: Annotated[tuple[str, ...], Field(strict=False)] = ()
    recovery: Annotated[tuple[str, ...], Field(strict=False)] = ()

    @property
    def endpoints(self) -> dict[str, str]:
        paths = {"health": self.health, "ready": self.ready, "live": self.live, "status": self.status}
        return {name: path for name, path in paths.items() if path}

    @model_validator(mode="after")
    def _an_outage_ends(self) -> ContractSettings:
        if bool(self.outage) != bool(self.recovery):
            raise ValueError("outage and recovery need each other: one command breaks a dependency, one mends it")
        return self

    @model_validator(mode="after")
    def _something_to_ask(self) -> ContractSettings:
        if not self.endpoints:
            raise ValueError("at least one of health, ready, live and status needs a path")
        return self
