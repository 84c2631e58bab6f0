"""What this machine offers to a site: a Docker engine, images, free ports."""

from __future__ import annotations

import socket
from pathlib import Path

from cakravia_verify.errors import CakraviaError, SettingsError
from cakravia_verify.settings.loading import load_settings
from cakravia_verify.setup.findings import ImageFile
from cakravia_verify.setup.image_file import asked_path
from cakravia_verify.setup.plan import MachineFacts


def machine_facts(settings: Path) -> MachineFacts:
    """Return what this machine offers now. The ports of a site that `settings` describes already count as free."""
    own = _ports_of(settings)
    return MachineFacts(no_engine=_engine_trouble(), is_free=lambda port: port in own or is_free(port), image=_image)


def _ports_of(path: Path) -> frozenset[int]:
    """Return the ports of a site, none without a readable file of settings."""
    if not path.exists():
        return frozenset()
    try:
        settings = load_settings(path)
    except SettingsError:
        return frozenset()
    users = (address.port for _, address in settings.proxy.addresses)
    return frozenset({*users, settings.slots.blue, settings.slots.green})


def is_free(port: int) -> bool:
    """Return whether a program of this user could listen on the loopback port."""
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _engine_trouble() -> str:
    """Return why no engine answers, "" if one does."""
    from cakravia_verify.platforms.docker.engine.engine import Engine

    try:
        Engine(patience=0.0).facts()
    except CakraviaError as error:
        return " ".join(error.message.split())[:300]
    return ""


def _image(name: str) -> ImageFile | None:
    """Return what the engine knows of an image, None if it lacks it."""
    from cakravia_verify.platforms.docker.engine.engine import Engine

    engine = Engine(patience=0.0)
    try:
        found = engine.ask(f"looking for the image {name}", lambda: engine.client.images.get(name))
    except CakraviaError:
        return None
    config = found.attrs.get("Config") or {}
    ports = sorted(int(port.partition("/")[0]) for port in config.get("ExposedPorts") or {})
    test = " ".join((config.get("Healthcheck") or {}).get("Test") or [])
    return ImageFile(
        path=f"the image {name}",
        base=name,
        port=ports[0] if ports else 0,
        user=str(config.get("User") or ""),
        health=asked_path(test),
        folder=str(config.get("WorkingDir") or "/"),
    )
