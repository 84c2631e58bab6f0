"""A throw-away site on a real engine, and releases made on it as an operator makes them."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import uuid
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cakravia_verify.kinds import SUITES
from cakravia_verify.platforms.docker.leftovers import clear_engine
from cakravia_verify.settings.loading import load_settings
from cakravia_verify.site.assembly import open_site
from cakravia_verify.site.site import Site
from cakravia_verify.testing.throwaway_site import REPOSITORY, Ended, Running, ThrowawaySite
from tests.plugin.sessions.shop import QUICK_MIX

if TYPE_CHECKING:
    from docker import DockerClient

SETTINGS = """\
[site]
name = "{name}"
platform = "docker"
[slots]
blue = $blue
green = $green
[proxy]
listen = "127.0.0.1:$users"
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
min_each = 1
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


class DockerSite(ThrowawaySite):
    """A site on a real engine, with names that no other site has; all of it is gone after `remove_from`."""

    def __init__(
        self,
        folder: Path,
        *,
        application: str = "reference_app",
        base: str = "python",
        docker: str = "",
        profile: str = "custom",
        more: str = QUICK_MIX,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = f"t{uuid.uuid4().hex[:10]}"
        self.environment = environment or {}
        settings = SETTINGS.format(
            name=self.name,
            context=REPOSITORY / "examples" / application,
            base=base_of(base),
            proxy_base=base_of("nginx"),
            docker=docker,
            profile=profile,
            more=more,
        )
        super().__init__(folder, settings)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.users}"

    def open(self, *overrides: tuple[str, Any]) -> Site:
        return open_site(load_settings(self.settings, environment={}, overrides=overrides))

    def begin(self, command: list[str], *, environment: Mapping[str, str]) -> Running:
        return super().begin(command, environment={**self.environment, **environment})

    def check_containers(self, *arguments: str) -> Ended:
        return self.pytest(str(SUITES / "containers"), *self.site, "-q", *arguments)

    def remove_from(self, client: DockerClient) -> None:
        clear_engine(client, self.name)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def docker_site(client: DockerClient, folder: Path, **options: Any) -> Iterator[DockerSite]:
    site = DockerSite(folder, **options)
    try:
        yield site
    finally:
        site.remove_from(client)
