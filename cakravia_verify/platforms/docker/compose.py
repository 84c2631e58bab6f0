"""The site as a compose file, rendered from the running containers: for `docker compose ps` and `logs`."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cakravia_verify.platforms.docker.containers import COMPOSE, Spec
from cakravia_verify.platforms.docker.service import MountKind
from cakravia_verify.system.files import write_atomically

RENDERED = "# Rendered by Cakravia Verify"
HEADER = f"""\
{RENDERED} from the running containers. The next release overwrites it.
#   docker compose -f {{name}} ps
#   docker compose -f {{name}} logs app-blue
# Releases create the containers. `docker compose up` finds nothing to change.
"""
HASH_SECONDS = 20.0


@dataclass
class ComposeFile:
    """The compose file `path` of `project`. `state` keeps the services' descriptions between releases."""

    path: Path
    project: str
    state: Path

    def labels_for(self, spec: Spec) -> dict[str, str]:
        """Return the labels that make compose accept a container that it did not create.

        With the right hash, `docker compose up` changes nothing. Without the compose program the hash is unknown, but
        `ps` and `logs` still work.
        """
        return {
            f"{COMPOSE}.project": self.project,
            f"{COMPOSE}.service": spec.service,
            f"{COMPOSE}.oneoff": "False",
            f"{COMPOSE}.container-number": "1",
            f"{COMPOSE}.image": spec.image_id,
            f"{COMPOSE}.config-hash": self._hash_of(spec) or "unknown",
            f"{COMPOSE}.project.config_files": str(self.path),
            f"{COMPOSE}.project.working_dir": str(self.path.parent),
        }

    def put(self, spec: Spec) -> None:
        """Add the container to the file, or replace it."""
        content = json.dumps(_described(spec))
        write_atomically(self.state / f"{spec.service}.json", content.encode())
        self.render()

    def drop(self, service: str) -> None:
        """Remove the service from the file."""
        (self.state / f"{service}.json").unlink(missing_ok=True)
        self.render()

    def render(self) -> None:
        # The application's environment may be confidential.
        write_atomically(self.path, self.rendered.encode(), mode=0o600)

    @property
    def rendered(self) -> str:
        """The text that `render` writes."""
        return self._text(self._kept())

    @property
    def written(self) -> str:
        """The text of the file, '' without one."""
        return self.path.read_text(encoding="utf-8", errors="replace") if self.path.is_file() else ""

    def _kept(self) -> dict[str, dict[str, Any]]:
        kept = {}
        for file in sorted(self.state.glob("*.json")):
            try:
                kept[file.stem] = json.loads(file.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                continue
        return kept

    def _text(self, kept: Mapping[str, Mapping[str, Any]]) -> str:
        volumes = sorted({volume for each in kept.values() for volume in each["volumes"]})
        networks = sorted({each["network"] for each in kept.values()})
        joined = sorted({network for each in kept.values() for network in each.get("joined", ())})
        document = {
            "name": self.project,
            "services": {service: _escaped(each["service"]) for service, each in kept.items()},
            "networks": {
                **({"site": {"name": networks[0], "external": True}} if networks else {}),
                **{network: {"name": network, "external": True} for network in joined},
            },
            "volumes": {volume: {"name": volume, "external": True} for volume in volumes},
        }
        body = "\n".join(_yaml({key: value for key, value in document.items() if value}, ""))
        return f"{HEADER.format(name=self.path.name)}{body}\n"

    def _hash_of(self, spec: Spec) -> str:
        """Return the hash that compose computes for the service, "" without the compose program."""
        for command in (("docker", "compose"), ("docker-compose",)):
            if not shutil.which(command[0]):
                continue
            try:
                process = subprocess.run(
                    [
                        *command,
                        "-f",
                        "-",
                        "--project-directory",
                        str(self.path.parent),
                        "config",
                        "--hash",
                        spec.service,
                    ],
                    input=self._text({spec.service: _described(spec)}),
                    capture_output=True,
                    text=True,
                    timeout=HASH_SECONDS,
                    check=False,
                )
            except (OSError, subprocess.TimeoutExpired):
                continue
            if process.returncode == 0 and process.stdout.split():
                return process.stdout.split()[-1]
        return ""


def _described(spec: Spec) -> dict[str, Any]:
    named = [mount.source for mount in spec.definition.mounts if mount.kind is MountKind.VOLUME and mount.source]
    return {
        "network": spec.network,
        "joined": list(spec.definition.networks),
        "volumes": [*spec.volumes, *spec.read_only_volumes, *named],
        "service": spec.compose_service(),
    }


def _escaped(value: Any) -> Any:
    """Double each dollar sign, because compose replaces `$name`."""
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, Mapping):
        return {key: _escaped(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_escaped(each) for each in value]
    return value


def _yaml(value: Mapping[str, Any], indent: str) -> Iterator[str]:
    """Render YAML with every scalar as JSON, which is valid YAML."""
    for key, each in value.items():
        name = key if key.replace("-", "").replace("_", "").isalnum() else json.dumps(key)
        if isinstance(each, Mapping) and each:
            yield f"{indent}{name}:"
            yield from _yaml(each, indent + "  ")
        elif isinstance(each, list) and each:
            yield f"{indent}{name}:"
            yield from (f"{indent}  - {json.dumps(item, ensure_ascii=False)}" for item in each)
        else:
            yield f"{indent}{name}: {json.dumps(each, ensure_ascii=False)}"
