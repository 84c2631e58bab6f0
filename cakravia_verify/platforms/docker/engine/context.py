"""The engine that the docker program would use: its current context."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cakravia_verify.errors import UsageError


def chosen_engine(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that name the engine: DOCKER_HOST, and where its certificates are. {} for the usual socket.

    As with the docker program, DOCKER_HOST comes before DOCKER_CONTEXT, and that before `docker context use`. Raises
    UsageError, with the name of the context, if the context cannot be used.
    """
    if environment.get("DOCKER_HOST"):
        return {"DOCKER_HOST": environment["DOCKER_HOST"]}
    folder = Path(environment.get("DOCKER_CONFIG") or Path.home() / ".docker")
    name = environment.get("DOCKER_CONTEXT") or str(_read(folder / "config.json").get("currentContext") or "")
    if name in ("", "default"):
        return {}
    place = hashlib.sha256(name.encode()).hexdigest()
    endpoint = (_read(folder / "contexts" / "meta" / place / "meta.json").get("Endpoints") or {}).get("docker") or {}
    host = str(endpoint.get("Host") or "")
    if not host:
        raise UsageError(
            f"the docker context {name!r} names no engine",
            remedy="choose one: docker context use NAME; or name the engine in [docker] host",
        )
    certificates = folder / "contexts" / "tls" / place / "docker"
    if not certificates.is_dir():
        return {"DOCKER_HOST": host}
    if endpoint.get("SkipTLSVerify"):
        raise UsageError(
            f"the docker context {name!r} does not verify its engine's certificate",
            remedy="add its authority to the context: docker context update NAME --docker host=...,ca=FILE",
        )
    return {"DOCKER_HOST": host, "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(certificates)}


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
