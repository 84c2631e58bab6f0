"""What a throw-away site left in an engine."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from cakravia_verify.platforms.docker.engine.engine import SITE_LABEL

if TYPE_CHECKING:
    from docker import DockerClient


def clear_engine(client: DockerClient, name: str) -> None:
    """Remove the containers, networks, volumes and images of the site with this name. Safe to call again."""
    from docker.errors import APIError

    mine: dict[str, Any] = {"label": f"{SITE_LABEL}={name}"}
    for container in client.containers.list(all=True, filters=mine):
        container.remove(force=True, v=True)
    for network in client.networks.list(filters=mine):
        network.remove()
    for volume in client.volumes.list():
        if volume.name.startswith(f"{name}-"):
            volume.remove(force=True)
    for row in client.api.images():
        for tag in row.get("RepoTags") or ():
            if tag.startswith(f"cakravia-verify/{name}"):
                with contextlib.suppress(APIError):
                    client.images.remove(tag)
