"""A throw-away site on a real engine, and releases made on it as an operator makes them."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import shutil
import subprocess
import sys
import uuid
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cakravia_verify.settings.loading import load_settings
from cakravia_verify.site.assembly import open_site
from cakravia_verify.site.site import Site
from tests.plugin.sessions.shop import QUICK_MIX
from tests.ports import free_ports

if TYPE_CHECKING:
    from docker import DockerClient

REPOSITORY = Path(__file__).resolve().parents[3]
LONGEST_SESSION = 120.0
SETTINGS = """\
[site]
name = "{name}"
platform = "docker"
[slots]
blue = {blue}
green = {green}
[proxy]
listen = "127.0.0.1:{users}"
[app]
grace = 5.0
[health]
consecutive = 2
interval = 0.1
timeout = 3.0
deadline = 20.0
[docker]
patience = 20.0
context = "{context}"
build_args = {{ BASE = "{base}", APP_VERSION = "{{version}}" }}
proxy_build_args = {{ BASE = "{proxy_base}" }}
{docker}
[release]
bake = 1.0
drain = 5.0
drain_minimum = 0.1
confirmations = 5
[budget]
min_requests = 50
min_rate_held = 0.7
[traffic]
users = 10
rate = 100.0
round_trip = 0.0
profile = "{profile}"
{more}
"""


def connect() -> DockerClient | str:
    """A client of the engine that answers, or why there is none."""
    import docker
    from docker.errors import DockerException

    with warnings.catch_warnings():
        # The SDK leaves its socket open when it cannot connect; collected here, where nobody has to hear of it.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            client = docker.from_env()
            client.ping()
        except DockerException as error:
            reason = f"no Docker engine answers: {error}"
        else:
            return client
        gc.collect()
        return reason


def base_of(what: str) -> str:
    return os.environ.get(f"CAKRAVIA_TEST_{what.upper()}_BASE", f"cakravia-base/{what}")


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit status, and all it wrote."""

    status: int
    output: str


@dataclass
class DockerSite:
    """A site in a folder of its own, with names that nobody else has; all of it is gone after `remove`."""

    folder: Path
    application: str = "reference_app"
    base: str = "python"
    docker: str = ""
    profile: str = "custom"
    more: str = QUICK_MIX
    environment: Mapping[str, str] = field(default_factory=dict)
    name: str = field(default_factory=lambda: f"t{uuid.uuid4().hex[:10]}")

    def __post_init__(self) -> None:
        blue, green, self.port = free_ports(3)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.file.write_text(
            SETTINGS.format(
                name=self.name,
                blue=blue,
                green=green,
                users=self.port,
                context=REPOSITORY / "examples" / self.application,
                base=base_of(self.base),
                proxy_base=base_of("nginx"),
                docker=self.docker,
                profile=self.profile,
                more=self.more,
            ),
            encoding="utf-8",
        )

    @property
    def file(self) -> Path:
        return self.folder / "cakravia.toml"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def open(self, *overrides: tuple[str, Any]) -> Site:
        return open_site(load_settings(self.file, environment={}, overrides=overrides))

    def deploy(self, version: str, *arguments: str) -> Ended:
        return self.pytest("suites/deploy", "--version", version, *arguments)

    def rollback(self, *arguments: str) -> Ended:
        return self.pytest("suites/rollback", "--reason", "a test", *arguments)

    def pytest(self, suite: str, *arguments: str) -> Ended:
        command = [sys.executable, "-m", "pytest", suite, "--site", str(self.file), "-p", "no:cacheprovider"]
        return self.run([*command, *arguments])

    def cakravia(self, *arguments: str) -> Ended:
        return self.run([sys.executable, "-m", "cakravia_verify.cli", "--site", str(self.file), *arguments])

    def run(self, command: list[str]) -> Ended:
        ended = subprocess.run(
            command,
            cwd=REPOSITORY,
            env={key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
            | dict(self.environment),
            capture_output=True,
            text=True,
            timeout=LONGEST_SESSION,
            check=False,
        )
        return Ended(ended.returncode, ended.stdout + ended.stderr)

    def verdict(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "reports" / "latest" / "verdict.json").read_text())
        return found

    def remove(self, client: DockerClient) -> None:
        from docker.errors import APIError

        mine: dict[str, Any] = {"label": f"cakravia.site={self.name}"}
        for container in client.containers.list(all=True, filters=mine):
            container.remove(force=True, v=True)
        for network in client.networks.list(filters=mine):
            network.remove()
        for volume in client.volumes.list():
            if volume.name.startswith(f"{self.name}-"):
                volume.remove(force=True)
        for image in client.images.list():
            for tag in image.tags:
                if tag.startswith(f"cakravia-verify/{self.name}"):
                    with contextlib.suppress(APIError):
                        client.images.remove(tag)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def docker_site(client: DockerClient, folder: Path, **options: Any) -> Iterator[DockerSite]:
    site = DockerSite(folder, **options)
    try:
        yield site
    finally:
        site.remove(client)
