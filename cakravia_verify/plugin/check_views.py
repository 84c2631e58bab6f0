"""What the fixtures of the checking suites return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import pytest

from cakravia_verify.checks.configuration.registry import CONFIGURATION
from cakravia_verify.checks.health.agreement import disagreement
from cakravia_verify.checks.health.caching import may_be_cached
from cakravia_verify.checks.health.content_type import wrong_type
from cakravia_verify.checks.health.disclosure import disclosed
from cakravia_verify.checks.health.latency import READINGS, latency_limit, too_slow
from cakravia_verify.checks.health.liveness import asks_others, dies_with_readiness
from cakravia_verify.checks.health.outage import OutageRecord as OutageRecord
from cakravia_verify.checks.model import CheckedSite, Ground, SiteCheck, carry_out
from cakravia_verify.checks.prerequisites.registry import PREREQUISITES
from cakravia_verify.errors import CakraviaError
from cakravia_verify.health.models import Reading
from cakravia_verify.health.probe import Answer
from cakravia_verify.health.wording import payload_of
from cakravia_verify.site.site import Site
from cakravia_verify.slots import Address, Slot

UNKNOWN_PATH = "/cakravia-no-such-endpoint"


class ChecksView:
    """The checks of one list, each carried out when it is first asked for."""

    def __init__(self, ground: Ground, checks: tuple[SiteCheck, ...]) -> None:
        self._ground = ground
        self._checks = {check.name: check for check in checks}
        self._done: dict[str, CheckedSite] = {}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._checks)

    def require(self, name: str) -> None:
        """Raise CakraviaError, with what was found, is needed and helps, if a check failed.

        Skips the test if the check does not apply to this site.
        """
        check = self._checks[name]
        if not check.applies(self._ground.settings):
            pytest.skip(f"{name} does not apply to this site")
        if name not in self._done:
            self._done[name] = carry_out(check, self._ground)
        if bad := self._done[name].bad:
            lines = [f"{each.found}{f' (needed: {each.needed})' if each.needed else ''}" for each in bad]
            raise CakraviaError("; ".join(lines), remedy="; ".join(filter(None, (each.remedy for each in bad))))


def prerequisites_of(ground: Ground) -> ChecksView:
    return ChecksView(ground, PREREQUISITES)


def configuration_of(ground: Ground) -> ChecksView:
    return ChecksView(ground, CONFIGURATION)


@dataclass
class HealthPlace:
    """One place at which the health endpoints answer: a slot itself, or the proxy as users reach it.

    `slot` is the slot that must answer there.
    """

    name: str
    site: Site
    address: Address
    slot: Slot

    @property
    def endpoints(self) -> Mapping[str, str]:
        return self.site.settings.contract.endpoints

    @cached_property
    def answers(self) -> Mapping[str, Answer]:
        """One answer of each endpoint."""
        return {name: self.site.prober.request(self.address, "GET", path) for name, path in self.endpoints.items()}

    @cached_property
    def readings(self) -> Mapping[str, Reading]:
        """One reading of each endpoint."""
        return {name: self.site.prober.read(self.address, name) for name in self.endpoints}

    def complaints(self) -> list[str]:
        """Return each endpoint that is not healthy by the contract."""
        return [str(reading) for reading in self.readings.values() if not reading.is_healthy]

    def wrong_types(self) -> list[str]:
        """Return each body that is not of the type that the answer names."""
        return [f"{name}: {found}" for name, answer in self.answers.items() if (found := wrong_type(answer))]

    def cacheable(self) -> list[str]:
        """Return each answer that a cache may keep."""
        return [f"{name}: {found}" for name, answer in self.answers.items() if (found := may_be_cached(answer))]

    def slow(self) -> list[str]:
        """Return each endpoint with a slow answer among several."""
        limit = latency_limit(self.site.settings)
        found = []
        for name in self.endpoints:
            latencies = [self.site.prober.read(self.address, name).latency for _ in range(READINGS)]
            if late := too_slow(latencies, limit=limit):
                found.append(f"{name}: {late}")
        return found

    def disclosures(self) -> list[str]:
        """Return what answers tell strangers, also the answer at a path that does not exist."""
        first = next(iter(self.endpoints.values()))
        unknown = self.site.prober.request(self.address, "GET", first.rstrip("/") + UNKNOWN_PATH)
        secrets = [value for name, value in self.site.settings.app.environment.items() if _is_secret(name)]
        answers = {**self.answers, "an unknown path": unknown}
        return [
            f"{name} tells {what}" for name, answer in answers.items() for what in disclosed(answer, secrets=secrets)
        ]

    def disagreements(self) -> list[str]:
        """Return each endpoint that names another slot or version than the one that runs here."""
        return disagreement(self.readings.values(), self.slot)

    def liveness_troubles(self) -> list[str]:
        """Return what makes liveness depend on other services."""
        if "live" not in self.readings:
            pytest.skip("[contract] live is empty")
        others = {name: reading for name, reading in self.readings.items() if name in ("health", "ready")}
        asked = asks_others(payload_of(self.answers["live"].body))
        found = [f"liveness checks another service: {', '.join(asked)}"] if asked else []
        return [*found, *filter(None, (dies_with_readiness(self.readings["live"], others),))]


def _is_secret(name: str) -> bool:
    return any(word in name.lower() for word in ("secret", "passw", "token", "key", "credential", "url"))
