"""Folders of a read-only slot that it may write to: a volume of the slot's own for each, owned by its user."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cakravia_verify.platforms.docker import containers
from cakravia_verify.platforms.docker.containers import Spec
from cakravia_verify.platforms.docker.engine.engine import SITE_LABEL, Engine
from cakravia_verify.platforms.docker.engine.files import ArchiveEntry, send
from cakravia_verify.platforms.docker.service import ServiceDefinition
from cakravia_verify.platforms.docker.slot_spec import numbers_of

if TYPE_CHECKING:
    from docker.models.containers import Container

SUFFIX = "-writable"


def own_writable(engine: Engine, spec: Spec, container: Container) -> None:
    """Give the volumes at the writable folders of a created container to its user. Their content keeps its owners.

    An archive cannot change a folder that is itself the target. So a second container, which is never started, mounts
    the volumes one level down.
    """
    writable = spec.definition.writable
    if not writable:
        return
    volumes = {mount["Destination"]: str(mount["Name"]) for mount in container.attrs["Mounts"] if mount.get("Name")}
    places = {volumes[path]: f"/writable-{number}" for number, path in enumerate(writable)}
    site, name = spec.labels[SITE_LABEL], f"{spec.name}{SUFFIX}"
    if (left := engine.ours(name, site=site)) is not None:
        containers.remove(engine, left)
    carrying = replace(
        spec,
        name=name,
        labels={SITE_LABEL: site},
        environment={},
        volumes=places,
        read_only_volumes={},
        ports={},
        definition=ServiceDefinition(read_only=False),
    )
    uid, gid = numbers_of(engine, container, spec.user)
    carrier = containers.create(engine, carrying, also={})
    try:
        entries = [ArchiveEntry(place.lstrip("/"), mode=0o755, uid=uid, gid=gid) for place in places.values()]
        send(engine, carrier, "/", entries)
    finally:
        containers.remove(engine, carrier)
