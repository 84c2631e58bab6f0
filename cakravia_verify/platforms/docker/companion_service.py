"""What a companion's container is made of: a service of the compose file, or the slot with another command."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from cakravia_verify.errors import UsageError
from cakravia_verify.platforms.docker.engine.engine import SITE_LABEL, Engine
from cakravia_verify.platforms.docker.project_parts import containers_of, require_parts, wait_for_needs
from cakravia_verify.platforms.docker.secrets import read_secrets
from cakravia_verify.platforms.docker.service import Healthcheck, ServiceDefinition
from cakravia_verify.platforms.docker.service_reader import read_service, require_fit
from cakravia_verify.platforms.docker.slot_service import SlotService
from cakravia_verify.settings.companions import CompanionSettings
from cakravia_verify.settings.models import Settings
from cakravia_verify.system.clock import Deadline

# Keys of [docker] that say what every container of the site may do.
SHARED_KEYS: Final = ("read_only", "writable", "user")
# One that ends at once, for example because ours holds its lock, is started again and again.
ALIVE: Final = frozenset({"running", "restarting", "paused"})
NO_CHECK: Final = Healthcheck(("NONE",))


class CompanionServices:
    """The definitions of the companions. `slots` reads the compose file."""

    def __init__(self, settings: Settings, slots: SlotService) -> None:
        self._settings = settings
        self._slots = slots

    def definition(self, companion: CompanionSettings, version: str = "") -> ServiceDefinition:
        """Return the definition of a companion for a version. Raises UsageError if the service is not fit for one."""
        if not companion.service:
            # The health check of a slot asks a server, which a companion is not.
            return replace(self._slots.definition(version), healthcheck=NO_CHECK, entrypoint=(), command=())
        document = self._slots.document(version)
        require_fit(document, companion.service, file="the compose file", allowed=("container_name", "scale"))
        self._require_same_image(companion)
        docker = self._settings.docker
        own: dict[str, Any] = {name: getattr(docker, name) for name in SHARED_KEYS if name in docker.model_fields_set}
        if not isinstance(docker.tmpfs, str):
            own["tmpfs"] = docker.tmpfs
        definition = read_service(
            document,
            companion.service,
            root=self._settings.root,
            configs=self._settings.state / "docker" / "configs",
            own=own,
            of_site=self._slots.parts_of_site,
        )
        needs = self._slots.needs_of(definition)
        return replace(definition, needs=needs, up_command=self._slots.up_command)

    def require(
        self, engine: Engine, companion: CompanionSettings, version: str, *, deadline: Deadline | None = None
    ) -> ServiceDefinition:
        """Return the definition. Everything that it needs is there, and the project does not run the service itself.

        With a deadline, this waits for services that start. Raises UsageError or PlatformError.
        """
        definition = self.definition(companion, version)
        read_secrets(self._settings, definition)
        if deadline is not None:
            wait_for_needs(engine, definition, deadline=deadline)
        require_parts(engine, definition)
        self._refuse_second(engine, companion, definition)
        return definition

    def notes(self) -> Iterator[str]:
        """Yield one line for everything that is not as in the compose file."""
        for companion in self._settings.companions:
            if companion.service:
                yield from (f"compose service {companion.service}: {n}" for n in self.definition(companion).notes)

    def _require_same_image(self, companion: CompanionSettings) -> None:
        """Raise UsageError if the service has another image than the slots: a companion is of the same version."""
        service = self._settings.docker.service
        services = self._slots.document("")["services"]
        theirs, ours = services[companion.service] or {}, services[service] or {}
        same_image = bool(theirs.get("image")) and theirs.get("image") == ours.get("image")
        same_build = bool(theirs.get("build")) and theirs.get("build") == ours.get("build")
        if not (same_image or same_build):
            raise UsageError(
                f"companion {companion.name}: service {companion.service} has another build or image than {service}, "
                "so it is not a part of the same version",
                remedy=f"give both the same build or image, or start {companion.service} with docker compose",
            )

    def _refuse_second(self, engine: Engine, companion: CompanionSettings, definition: ServiceDefinition) -> None:
        if not companion.service:
            return
        site = self._settings.site.name
        running = [
            each
            for each in containers_of(engine, definition.project, companion.service)
            if each.status in ALIVE and each.labels.get(SITE_LABEL) != site
        ]
        if running:
            raise UsageError(
                f"companion {companion.name}: service {companion.service} of compose project {definition.project} runs "
                f"already, as {running[0].name}; two of them would work at once",
                remedy=f"stop it: docker compose stop {companion.service}",
            )
