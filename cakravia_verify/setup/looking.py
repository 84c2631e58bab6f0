"""Look at a folder: everything that its files say about the application, and nothing is changed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from cakravia_verify.setup.application import application_in
from cakravia_verify.setup.compose_services import compose_in
from cakravia_verify.setup.findings import (
    Application,
    ComposeProject,
    ComposeService,
    FoundProject,
    ImageFile,
    ProjectFact,
    ProxyFile,
)
from cakravia_verify.setup.image_file import read_image_file
from cakravia_verify.setup.proxy_file import proxy_file_in
from cakravia_verify.setup.routes import routes_in


def look(folder: Path) -> FoundProject:
    """Return what the files of a project say. Raises UsageError if one of them is broken."""
    application = application_in(folder)
    image_file = read_image_file(folder / "Dockerfile") if (folder / "Dockerfile").is_file() else None
    found = FoundProject(
        name=site_name(folder.resolve().name),
        application=application,
        image_file=image_file,
        compose=compose_in(folder),
        proxy_file=proxy_file_in(folder),
        routes=routes_in(folder),
        env_file=".env" if (folder / ".env").is_file() else "",
    )
    return replace(found, findings=tuple(_findings(found)))


def narrowed(folder: Path, found: FoundProject, service: ComposeService) -> FoundProject:
    """Return the project with the application and the Dockerfile of the folder that the service is built from."""
    if not service.is_built:
        return found
    place = folder / service.context
    file = place / service.dockerfile
    return replace(
        found,
        application=application_in(place) or found.application,
        image_file=read_image_file(file) if file.is_file() else found.image_file,
        routes=routes_in(place) if place.resolve() != folder.resolve() else found.routes,
    )


def site_name(text: str) -> str:
    """Return a name for the site: small letters, digits and dashes, at most 40."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40].rstrip("-")
    return name if re.match(r"[a-z]", name) else f"site-{name}".rstrip("-")


def _findings(found: FoundProject) -> Iterator[ProjectFact]:
    if found.compose:
        yield from _of_compose(found.compose)
    if found.image_file:
        yield _of_image_file(found.image_file)
    if found.application:
        yield from _of_application(found.application)
    if found.proxy_file:
        yield _of_proxy_file(found.proxy_file)
    if found.env_file:
        yield ProjectFact(found.env_file, "variables")
    yield from found.routes.findings


def _of_compose(compose: ComposeProject) -> Iterator[ProjectFact]:
    file = " + ".join(compose.files)
    for service in compose.services:
        source = f"built from {service.context}" if service.is_built else service.image or "no image"
        ports = f", port {', '.join(map(str, service.ports))}" if service.ports else ""
        yield ProjectFact(file, f"service {service.name}: {source}{ports}")


def _of_image_file(image_file: ImageFile) -> ProjectFact:
    facts = [f"from {image_file.base or '(none)'}"]
    facts += [f"port {image_file.port}"] if image_file.port else []
    facts += ["runs as root" if image_file.runs_as_root else f"runs as {image_file.user}"]
    facts += [f"health check asks {image_file.health}"] if image_file.health else []
    return ProjectFact(image_file.path, ", ".join(facts))


def _of_application(application: Application) -> Iterator[ProjectFact]:
    yield from application.findings


def _of_proxy_file(proxy_file: ProxyFile) -> ProjectFact:
    behind = ", ".join(f"{host}:{port}" for host, port in proxy_file.upstreams)
    facts = [f"passes requests to {behind}"]
    facts += [f"host {proxy_file.host}"] if proxy_file.host else []
    facts += [f"bodies up to {proxy_file.max_body}"] if proxy_file.max_body else []
    facts += [f"read timeout {proxy_file.read_timeout:g} s"] if proxy_file.read_timeout else []
    facts += [f"certificate {proxy_file.certificate}"] if proxy_file.certificate else []
    return ProjectFact(proxy_file.path, ", ".join(facts))
