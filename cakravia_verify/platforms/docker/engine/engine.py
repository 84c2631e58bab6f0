"""The Docker engine: one client, translated errors, and the check that a container belongs to the site."""

from __future__ import annotations

import contextlib
import gc
import os
import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeVar

from cakravia_verify.errors import CakraviaError, MissingTool, PlatformError, UsageError
from cakravia_verify.platforms.docker.engine.context import chosen_engine
from cakravia_verify.platforms.docker.engine.tunnel import SshTunnel
from cakravia_verify.system.clock import SYSTEM_CLOCK, Clock, Deadline

if TYPE_CHECKING:
    import docker
    from docker.models.containers import Container

T = TypeVar("T")
SITE_LABEL: Final = "cakravia.site"
READ_SECONDS: Final = 60
READ_LOG: Final = "read the engine's log, for example: journalctl -u docker"
# A part of the engine's message -> the remedy. The first match is used.
REMEDIES: Final = (
    (
        "no space left on device",
        "free space in the engine's data folder (see: docker system df); users are where they were",
    ),
    ("is already in use by container", "rename or remove that container; it was not touched"),
    ("port is already allocated", "stop what publishes that port or choose another; it was not touched"),
    ("address already in use", "stop what listens there or choose another port; it was not touched"),
    ("no such image", "deploy the version again: its image is gone from the engine"),
    ("manifest unknown", "check the tag: the registry does not have it"),
    ("pull access denied", "log in with docker login, or correct the name"),
    ("dial tcp", "check the network to the registry; an image that is already in the engine needs no registry"),
    ("api versions below", "update the engine: it is too old for the Docker SDK"),
    ("client version", "set [docker] api_version to the engine's version (see: docker version), or update the engine"),
    (
        "permission denied",
        "give the releasing user access to the engine's socket, for example: sudo usermod -aG docker USER",
    ),
    ("no matching manifest", "build or push the image for this engine's architecture"),
)


class Engine:
    """The engine at `host`, in the form of DOCKER_HOST. Empty: the engine that the docker program would use.

    Calls wait up to `patience` seconds for an engine that restarts.
    """

    def __init__(
        self,
        host: str = "",
        *,
        api_version: str = "",
        patience: float = 30.0,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        chosen = {"DOCKER_HOST": host} if host else chosen_engine(os.environ)
        self.host = chosen.get("DOCKER_HOST", "")
        self._certificates = {name: value for name, value in chosen.items() if name != "DOCKER_HOST"}
        self.patience = patience
        self.clock = clock
        self._api_version = api_version

    @property
    def is_remote(self) -> bool:
        return not (self.host == "" or self.host.startswith("unix://"))

    @cached_property
    def tunnel(self) -> SshTunnel | None:
        """The ssh connection to an engine at an ssh:// address, None for other engines."""
        return SshTunnel(self.host, clock=self.clock) if self.host.startswith("ssh://") else None

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which the SDK and the docker program reach this engine."""
        address = self.tunnel.engine_address if self.tunnel else self.host
        kept = {name: value for name, value in os.environ.items() if name != "DOCKER_CONTEXT"}
        return kept | self._certificates | ({"DOCKER_HOST": address} if address else {"DOCKER_CONTEXT": "default"})

    @cached_property
    def client(self) -> docker.DockerClient:
        """The client. Raises MissingTool without the Docker SDK, and UsageError if no engine answers."""
        try:
            import docker

            from cakravia_verify.platforms.docker.engine.socket import close_failed_connections
        except ImportError as error:
            raise MissingTool(
                "the Docker SDK for Python is not installed", remedy="pip install 'docker>=7.1'"
            ) from error
        environment = self.environment
        failure = ""
        with warnings.catch_warnings():
            # The SDK leaves its socket open after a failed connect. Collecting it here hides its ResourceWarning.
            warnings.simplefilter("ignore", ResourceWarning)
            try:
                client = docker.from_env(
                    version=self._api_version or "auto", timeout=READ_SECONDS, environment=environment
                )
                client.version()
            except Exception as error:
                failure = explained(error)
            if failure:
                gc.collect()
        if failure:
            raise UsageError(
                f"no Docker engine answers at {self.host or 'the usual socket'}: {failure}",
                remedy=_remedy_for(failure) or "start the engine, or name another with DOCKER_HOST or [docker] host",
            )
        close_failed_connections(client)
        weakref.finalize(self, client.close)
        return client

    def ask(
        self, what: str, question: Callable[[], T], *, kind: type[CakraviaError] = PlatformError, again: bool = True
    ) -> T:
        """Return the answer of `question`. Waits for an engine that is away.

        With `again` the question is repeated even if the engine may have received it. Raises `kind`.
        """
        deadline = Deadline("the engine answers", self.patience, clock=self.clock)
        while True:
            try:
                return question()
            except Exception as error:
                if isinstance(error, CakraviaError):
                    raise
                if not _is_of_the_engine(error):
                    raise
                if not deadline.is_over and (was_not_sent(error) or (again and is_away(error))):
                    self.clock.sleep(0.2)
                    continue
                failure = explained(error)
                raise kind(f"{what}: {failure}", remedy=_remedy_for(failure) or READ_LOG) from error

    @contextlib.contextmanager
    def translated(self, what: str, *, kind: type[CakraviaError] = PlatformError) -> Iterator[None]:
        """Translate the engine's errors in the block to `kind`. The block is never repeated."""
        try:
            yield
        except Exception as error:
            if isinstance(error, CakraviaError) or not _is_of_the_engine(error):
                raise
            failure = explained(error)
            raise kind(f"{what}: {failure}", remedy=_remedy_for(failure) or READ_LOG) from error

    def container(self, name: str) -> Container | None:
        """Return the container of that name, of this site or not. None if it is missing."""
        from docker.errors import NotFound

        def found() -> Container | None:
            try:
                return self.client.containers.get(name)
            except NotFound:
                return None

        return self.ask(f"looking for container {name}", found)

    def ours(self, name: str, *, site: str) -> Container | None:
        """Return the site's own container of that name, None if it is missing.

        Raises PlatformError if the container belongs to another site.
        """
        container = self.container(name)
        if container is None:
            return None
        if container.labels.get(SITE_LABEL) == site:
            return container
        image = str(container.attrs.get("Config", {}).get("Image", ""))
        owner = container.labels.get("com.docker.compose.project", "")
        raise PlatformError(
            f"the name {name} is taken by container {container.short_id} ({image}"
            f"{f', of compose project {owner}' if owner else ''}), which does not belong to site {site}",
            remedy="rename or remove it, or choose another [docker] project; it was not touched",
        )

    def facts(self) -> dict[str, Any]:
        """Return the data of `docker info`."""
        return self.ask("reading docker info", lambda: dict(self.client.info()))

    def version(self) -> dict[str, Any]:
        """Return the data of `docker version`."""
        return self.ask("reading docker version", lambda: dict(self.client.version()))

    def attributes(self, container: str) -> Mapping[str, Any]:
        """Return the data of `docker inspect` of a container. Raises PlatformError if there is none of that name."""
        found = self.container(container)
        if found is None:
            raise PlatformError(f"there is no container {container}", remedy="start the site: cakravia up")
        return dict(found.attrs)

    def has_image(self, name: str) -> bool:
        """Return whether the engine has an image of that name."""
        from docker.errors import ImageNotFound

        def is_there() -> bool:
            try:
                return bool(self.client.images.get(name).id)
            except ImageNotFound:
                return False

        return self.ask(f"looking for image {name}", is_there)


def explained(error: BaseException) -> str:
    """Return the engine's own message on one line."""
    explanation = getattr(error, "explanation", None)
    if isinstance(explanation, bytes):
        explanation = explanation.decode(errors="replace")
    text = str(explanation or error) or type(error).__name__
    return " ".join(text.split())[:600]


def is_away(error: BaseException) -> bool:
    """Return whether the engine could not be reached, or stopped during its answer."""
    import requests.exceptions

    return isinstance(error, requests.exceptions.ConnectionError | requests.exceptions.ChunkedEncodingError)


def was_not_sent(error: BaseException) -> bool:
    """Return whether a call certainly did not reach the engine: nothing listens on its socket."""
    return is_away(error) and any(
        word in str(error) for word in ("ConnectionRefusedError", "FileNotFoundError", "Connection refused")
    )


def _is_of_the_engine(error: BaseException) -> bool:
    import requests.exceptions
    from docker.errors import DockerException

    return isinstance(error, DockerException | requests.exceptions.RequestException | OSError)


def _remedy_for(failure: str) -> str:
    lower = failure.lower()
    return next((remedy for words, remedy in REMEDIES if words in lower), "")
