"""Refuse to share a compose project, or a compose file, with other containers.

`docker compose up --remove-orphans` removes every container of its project that its file does not name.
"""

from __future__ import annotations

from typing import Any

from cakravia_verify.errors import UsageError
from cakravia_verify.platforms.docker.compose import RENDERED, ComposeFile
from cakravia_verify.platforms.docker.containers import COMPOSE
from cakravia_verify.platforms.docker.engine.engine import SITE_LABEL, Engine

PROJECT = f"{COMPOSE}.project"


def refuse_shared_project(engine: Engine, compose: ComposeFile, *, site: str) -> None:
    """Raise UsageError if a compose project of the site also has containers that are not the site's."""
    ours = _containers(engine, f"{SITE_LABEL}={site}")
    running = {_labels(each).get(PROJECT, "") for each in ours if each["State"] == "running"} - {""}
    for project in sorted({compose.project, *running}):
        foreign = [
            each for each in _containers(engine, f"{PROJECT}={project}") if _labels(each).get(SITE_LABEL) != site
        ]
        if not foreign:
            continue
        name = str(foreign[0]["Names"][0]).lstrip("/")
        raise UsageError(
            f"compose project {project} of site {site} also has container {name}, which does not belong to the site; "
            "an everyday `docker compose up --remove-orphans` would remove the site",
            remedy="choose another [docker] project; nothing was touched"
            if project == compose.project
            else f"the site's containers were started under that name: cakravia down, then cakravia up, "
            f"moves them to compose project {compose.project}",
        )


def refuse_foreign_file(compose: ComposeFile) -> None:
    """Raise UsageError if the file that releases overwrite was written by another program or by hand."""
    if compose.path.exists() and not compose.path.read_text(encoding="utf-8", errors="replace").startswith(RENDERED):
        raise UsageError(
            f"[docker] compose_file: {compose.path} was not written by Cakravia Verify, and a release overwrites it",
            remedy='name another file, for example compose_file = "docker-compose.blue-green.yml"; '
            "the project's own compose file is [docker] compose",
        )


def _containers(engine: Engine, label: str) -> list[dict[str, Any]]:
    api = engine.client.api
    return list(
        engine.ask(f"listing containers with {label}", lambda: api.containers(all=True, filters={"label": label}))
    )


def _labels(container: dict[str, Any]) -> dict[str, str]:
    return container.get("Labels") or {}
