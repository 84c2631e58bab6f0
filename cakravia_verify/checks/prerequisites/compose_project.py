"""The compose plugin, and the project's compose file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.checks.model import CheckFinding, Ground, SiteCheck, no_error, on_docker, warning
from cakravia_verify.platforms.docker.slot_service import SlotService

COMPOSE: Final = (("docker", "compose", "version"), ("docker-compose", "version"))


def _find(ground: Ground) -> Iterator[CheckFinding]:
    if not any(ground.machine.run(command).status == 0 for command in COMPOSE):
        yield warning(
            "there is no docker compose on this machine",
            needed="docker compose, for a compose file with extends, include or env_file",
            remedy="install the plugin docker-compose-v2 (Debian, Ubuntu) or docker-compose-plugin (docker.com)",
        )
    yield no_error(
        SlotService(ground.settings).definition, found=f"the service {ground.settings.docker.service} can be read"
    )


CHECK: Final = SiteCheck(
    "compose",
    "The project's compose file can be read",
    _find,
    applies=lambda settings: on_docker(settings) and bool(settings.docker.compose),
)
