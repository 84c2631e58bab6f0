"""Secrets of the application: read-only files in one volume for each slot."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from cakravia_verify.errors import PlatformError, UsageError
from cakravia_verify.platforms.docker import containers
from cakravia_verify.platforms.docker.containers import Spec
from cakravia_verify.platforms.docker.engine.engine import SITE_LABEL, Engine
from cakravia_verify.platforms.docker.engine.files import ArchiveEntry, send
from cakravia_verify.platforms.docker.service import ServiceDefinition
from cakravia_verify.platforms.docker.slot_spec import SECRETS, numbers_of
from cakravia_verify.settings.models import Settings

if TYPE_CHECKING:
    from docker.models.containers import Container
    from docker.models.volumes import Volume

SUFFIX: Final = "-secrets"


def read_secrets(settings: Settings, definition: ServiceDefinition) -> dict[str, bytes]:
    """Return the present secrets by name. Raises UsageError, with the name, if one cannot be read."""
    found = {}
    for name, source in definition.secrets.items():
        if source.variable and source.variable not in os.environ:
            raise UsageError(
                f"secret {name}: the environment variable {source.variable} is not set",
                remedy=f"set {source.variable}; the running slots are unchanged",
            )
        if source.variable:
            found[name] = os.environ[source.variable].encode()
    files = {name: source.file for name, source in definition.secrets.items() if source.file}
    for name, path in (files | settings.docker.secrets).items():
        try:
            found[name] = (settings.root / path).read_bytes()
        except OSError as error:
            raise UsageError(
                f"secret {name}: {settings.root / path} cannot be read: {error.strerror}",
                remedy="name a file that the releasing user can read; the running slots are unchanged",
            ) from error
    return found


def bring_secrets(engine: Engine, spec: Spec, secrets: Mapping[str, bytes]) -> None:
    """Fill the secrets volume of `spec` with exactly these secrets. Only the slot's user can read them.

    An archive cannot be sent to a read-only mount. So a second container, which is never started, mounts the volume
    writable.
    """
    site, name = spec.labels[SITE_LABEL], f"{spec.name}{SUFFIX}"
    if (left := engine.ours(name, site=site)) is not None:
        containers.remove(engine, left)
    _remove_volume(engine, name, site=site)
    if not secrets:
        return
    labels = {SITE_LABEL: site}
    engine.ask(f"creating volume {name}", lambda: engine.client.volumes.create(name, labels=labels), again=False)
    carrying = replace(
        spec,
        name=name,
        labels=labels,
        environment={},
        volumes={name: SECRETS},
        read_only_volumes={},
        ports={},
        definition=ServiceDefinition(),
    )
    carrier = containers.create(engine, carrying, also={})
    try:
        uid, gid = numbers_of(engine, carrier, spec.user)
        entries = [ArchiveEntry(each, content, mode=0o400, uid=uid, gid=gid) for each, content in secrets.items()]
        send(engine, carrier, SECRETS, entries)
    finally:
        containers.remove(engine, carrier)


def forget_secrets(engine: Engine, container: Container) -> None:
    """Remove the secrets volume of a removed slot."""
    _remove_volume(engine, f"{container.name}{SUFFIX}", site=container.labels[SITE_LABEL])


def _remove_volume(engine: Engine, name: str, *, site: str) -> None:
    """Remove the volume. Raises PlatformError if it does not belong to the site."""
    from docker.errors import NotFound

    def found() -> Volume | None:
        try:
            return engine.client.volumes.get(name)
        except NotFound:
            return None

    volume = engine.ask(f"looking for volume {name}", found)
    if volume is None:
        return
    if (volume.attrs.get("Labels") or {}).get(SITE_LABEL) != site:
        raise PlatformError(
            f"the name {name} is taken by a volume that does not belong to site {site}",
            remedy="remove it, or choose another [docker] project; it was not touched",
        )
    engine.ask(f"removing volume {name}", volume.remove)
