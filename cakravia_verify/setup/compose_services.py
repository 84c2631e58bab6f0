"""Read the project's compose files: which services are there, and which of them users reach."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from cakravia_verify.platforms.docker.compose_keys import Treatment, rule_for
from cakravia_verify.platforms.docker.compose_project import read_compose
from cakravia_verify.platforms.docker.service_reader import refusals
from cakravia_verify.setup.findings import ComposeProject, ComposeService, FoundProject
from cakravia_verify.setup.image_file import asked_path
from cakravia_verify.setup.source_files import first_of, text_of

FILES: Final = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
PRODUCTION: Final = tuple(f"{stem}.{kind}.{end}" for stem in ("compose", "docker-compose")
                          for kind in ("prod", "production") for end in ("yaml", "yml"))  # fmt: skip
# Images of programs that applications use. Users do not reach them, or reach the application through them.
_HELPERS: Final = re.compile(
    r"(^|/)(postgres|postgis|pgvector|mysql|mariadb|mongo|redis|valkey|keydb|memcached|rabbitmq|nats|kafka|zookeeper"
    r"|elasticsearch|opensearch|meilisearch|minio|mailhog|mailpit|adminer|pgadmin4?|nginx|nginx-proxy|traefik|caddy"
    r"|haproxy|httpd|certbot|watchtower|prometheus|grafana|loki|jaeger|busybox|localstack)[\w.-]*(:|@|$)"
)
_HELPER_NAMES: Final = re.compile(
    r"^(nginx|proxy|reverse-proxy|nginx-proxy|traefik|caddy|haproxy|lb|db|database|cache|redis)$"
)
_WORKS_ALONE: Final = re.compile(r"\b(celery|rq|sidekiq|dramatiq|huey|worker|scheduler|beat|cron|migrate|resque)\b")
_PORTS_IN_COMMAND: Final = re.compile(r"(?:--bind|-b|--port|-p)[ =]\S*?(\d{2,5})\b|:(\d{4,5})\b")
# What two slots cannot have, and a file of ours can take away.
REMOVABLE: Final = ("ports", "container_name")


def compose_in(folder: Path) -> ComposeProject | None:
    """Return the project's compose files, None if there are none. Raises UsageError with what is wrong in them."""
    first = first_of(folder, *FILES)
    if first is None:
        return None
    files = [first, *filter(None, [first_of(folder, *PRODUCTION)])]
    document, _ = read_compose(tuple(files), variables={})
    written = "\n".join(map(text_of, files))
    services = [
        _service(name, row or {}, written, folder) for name, row in sorted((document.get("services") or {}).items())
    ]
    return ComposeProject(tuple(file.name for file in files), tuple(services))


def for_users(project: FoundProject) -> tuple[ComposeService, ...]:
    """Return the services that users may reach, if several rank alike; else the best one alone."""
    assert project.compose is not None
    behind = {host for host, _ in project.proxy_file.upstreams} if project.proxy_file else set()
    ranked: dict[int, list[ComposeService]] = {}
    for service in project.compose.services:
        if rank := _rank(service, behind):
            ranked.setdefault(rank, []).append(service)
    return tuple(ranked[max(ranked)]) if ranked else ()


def _rank(service: ComposeService, behind: set[str]) -> int:
    if service.name in behind:
        return 4
    if _HELPER_NAMES.search(service.name) or not (service.is_built or service.image):
        return 0
    if not service.is_built and _HELPERS.search(service.image):
        return 0
    works_alone = _WORKS_ALONE.search(f"{service.name} {service.command}") and not service.ports
    if works_alone:
        return 0
    return 3 if service.is_published else 2 if service.ports else 1


def workers_beside(service: ComposeService, project: ComposeProject) -> tuple[ComposeService, ...]:
    """Return the services that run the same version as `service` and get no requests, such as workers."""
    return tuple(
        each
        for each in project.services
        if each.name != service.name
        and (each.context, each.image) == (service.context, service.image)
        and not each.ports
        and _WORKS_ALONE.search(f"{each.name} {each.command}")
        and not each.command.strip().startswith(("python manage.py migrate", "python3 manage.py migrate"))
    )


def port_of(service: ComposeService, project: FoundProject) -> int:
    """Return the port on which the service listens, 0 if no file says it."""
    told = [port for host, port in (project.proxy_file.upstreams if project.proxy_file else ()) if host == service.name]
    return next(iter((*told, *service.ports)), 0)


def _service(name: str, row: Mapping[str, Any], written: str, folder: Path) -> ComposeService:
    build = row.get("build") or {}
    image = str(row.get("image") or "")
    context = str(build.get("context") or ".") if build else ""
    test = (row.get("healthcheck") or {}).get("test") or ""
    command = _text(row.get("command"))
    return ComposeService(
        name=name,
        image=image,
        context=os.path.relpath(folder / context, folder) if context and "://" not in context else context,
        dockerfile=str(build.get("dockerfile") or "Dockerfile") if build else "",
        ports=tuple(dict.fromkeys(_ports(row, command))),
        is_published=bool(row.get("ports")),
        user=str(row.get("user") or ""),
        health=asked_path(_text(test)),
        command=command,
        variable=_variable(written, image) if image and not build else "",
        needs=tuple(row.get("depends_on") or ()),
        to_remove=tuple(key for key in REMOVABLE if row.get(key) and _is_refused(key)),
        unfit=tuple(refusals({key: value for key, value in row.items() if key not in REMOVABLE})),
    )


def _is_refused(key: str) -> bool:
    rule = rule_for(key)
    return rule is not None and rule.treatment is Treatment.REFUSED


def _text(value: Any) -> str:
    return value if isinstance(value, str) else " ".join(map(str, value or ()))


def _ports(row: Mapping[str, Any], command: str) -> Iterator[int]:
    for port in row.get("ports") or ():
        inside = port.get("target") if isinstance(port, Mapping) else str(port).rpartition(":")[2].partition("/")[0]
        yield from _number(inside)
    for port in row.get("expose") or ():
        yield from _number(str(port).partition("/")[0])
    environment = row.get("environment") or {}
    if isinstance(environment, Mapping):
        yield from _number(environment.get("PORT"))
    for found in _PORTS_IN_COMMAND.finditer(command):
        yield from _number(found[1] or found[2])


def _number(value: Any) -> Iterator[int]:
    text = str(value or "").partition("-")[0]
    if text.isdigit() and 0 < int(text) < 65_536:
        yield int(text)


def _variable(written: str, image: str) -> str:
    """Return the variable in the tag of an image, as in `image: shop:${TAG:-latest}`; "" if the tag is fixed."""
    for found in re.finditer(r"^\s*image:\s*['\"]?(\S+?):\$\{?(\w+)", written, re.MULTILINE):
        if image.startswith(found[1].partition("$")[0]):
            return found[2]
    return ""
