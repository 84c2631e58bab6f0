"""Remove what a site has in the engine, after its containers were stopped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cakravia_verify.platforms.docker.engine.engine import SITE_LABEL, Engine
from cakravia_verify.settings.models import Settings


def remove_from_engine(settings: Settings, *, with_data: bool) -> Iterator[str]:
    """Remove the site's containers, network, volumes and image names. Yields one line for each.

    The volume with the application's data stays unless `with_data`. Raises PlatformError.
    """
    docker = settings.docker
    project = docker.project or settings.site.name
    engine = Engine(docker.host, api_version=docker.api_version, patience=docker.patience)
    mine: dict[str, Any] = {"label": f"{SITE_LABEL}={settings.site.name}"}
    with engine.translated("removing the site"):
        for container in engine.client.containers.list(all=True, filters=mine):
            container.remove(force=True, v=True)
            yield f"removed container {container.name}"
        for network in engine.client.networks.list(filters=mine):
            network.remove()
            yield f"removed network {network.name}"
        data = f"{project}-slots"
        for volume in engine.client.volumes.list():
            if volume.name == data and not with_data:
                yield f"volume {data} stays: the application's data"
            elif volume.name in (f"{project}-proxy", data) or volume.name.startswith(f"{project}-app-"):
                volume.remove(force=True)
                yield f"removed volume {volume.name}"
        names = (f"cakravia-verify/{settings.site.name}", f"cakravia-verify/{project}-nginx")
        for row in engine.client.api.images():
            for tag in row.get("RepoTags") or ():
                if tag.partition(":")[0] in names:
                    engine.client.images.remove(tag)
                    yield f"removed image {tag}"
