"""The Docker engine: one client, its errors in our words, and what belongs to a site told from what does not."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import warnings
import weakref
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from cakravia_verify.errors import CakraviaError, MissingTool, PlatformError, UsageError
from cakravia_verify.platforms.docker.engine.tunnel import SshTunnel
from cakravia_verify.system.clock import SYSTEM_CLOCK, Clock, Deadline

if TYPE_CHECKING:
    import docker
    from docker.models.containers import Container

T = TypeVar("T")
SITE_LABEL: Final = "cakravia.site"
# The site's state folder, as `<machine>:<path>`.
HOME_LABEL: Final = "cakravia.state"
READ_SECONDS: Final = 60
# Words of the engine -> what to do about it. The first that fits is told.
REMEDIES: Final = (
    ("no space left on device", "free space where the engine keeps its data (docker system df); users are unharmed"),
    ("is already in use by container", "rename or remove that container; it was not touched"),
    ("port is already allocated", "stop what publishes that port or choose another; it was not touched"),
    ("address already in use", "stop what listens there or choose another port; it was not touched"),
    ("no such image", "deploy the version again: its image is gone from the engine"),
    ("manifest unknown", "check the tag: the registry does not know it"),
    ("pull access denied", "log in with docker login, or correct the name"),
    ("dial tcp", "check the network to the registry; an image the engine has already needs no registry"),
    ("api versions below", "bring engine and SDK closer together: this engine is too old for it"),
    ("client version", "set [docker] api_version to what the engine speaks, or bring engine and SDK closer together"),
    ("permission denied", "the user that releases must be allowed to use the engine's socket"),
    ("no matching manifest", "build or push the image for this engine's architecture"),
)


class Engine:
    """The engine that `host` names, as Docker itself writes it; empty: DOCKER_HOST, else the machine's own.

    Questions wait up to `patience` seconds for an engine that is being restarted.
    """

    def __init__(
        self,
        host: str = "",
        *,
        home: Path | None = None,
        api_version: str = "",
        patience: float = 30.0,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._home = home
        self.host = host or os.environ.get("DOCKER_HOST", "")
        self.patience = patience
        self.clock = clock
        self._api_version = api_version

    @property
    def is_remote(self) -> bool:
        return not (self.host == "" or self.host.startswith("unix://"))

    @cached_property
    def tunnel(self) -> SshTunnel | None:
        """The way to an engine behind ssh://, None where it is reached without."""
        return SshTunnel(self.host, clock=self.clock) if self.host.startswith("ssh://") else None

    @cached_property
    def client(self) -> docker.DockerClient:
        """Raises MissingTool or UsageError where no engine can be spoken to."""
        try:
            import docker

            from cakravia_verify.platforms.docker.engine.socket import close_what_cannot_connect
        except ImportError as error:
            raise MissingTool(
                "the Docker SDK for Python is not installed", remedy="pip install 'docker>=7.1'"
            ) from error
        address = self.tunnel.engine_address if self.tunnel else self.host
        environment = dict(os.environ) | ({"DOCKER_HOST": address} if address else {})
        said = ""
        with warnings.catch_warnings():
            # The SDK leaves its socket open where it cannot connect; collected here, where nobody has to hear of it.
            warnings.simplefilter("ignore", ResourceWarning)
            try:
                client = docker.from_env(
                    version=self._api_version or "auto", timeout=READ_SECONDS, environment=environment
                )
                client.version()
            except Exception as error:
                said = explained(error)
            if said:
                gc.collect()
        if said:
            raise UsageError(
                f"no Docker engine answers at {self.host or 'the usual socket'}: {said}",
                remedy=_remedy_of(said) or "start the engine, or name another with DOCKER_HOST or [docker] host",
            )
        close_what_cannot_connect(client)
        weakref.finalize(self, client.close)
        return client

    def ask(
        self, what: str, question: Callable[[], T], *, kind: type[CakraviaError] = PlatformError, again: bool = True
    ) -> T:
        """The answer. An engine that is away is waited for, and asked `again` where a second time does no harm."""
        deadline = Deadline("the engine answers", self.patience, clock=self.clock)
        while True:
            try:
                return question()
            except Exception as error:
                if isinstance(error, CakraviaError):
                    raise
                if not _is_of_the_engine(error):
                    raise
                if not deadline.is_over and (was_never_asked(error) or (again and is_away(error))):
                    self.clock.sleep(0.2)
                    continue
                said = explained(error)
                raise kind(f"{what}: {said}", remedy=_remedy_of(said) or "see the engine's own log") from error

    @contextlib.contextmanager
    def translated(self, what: str, *, kind: type[CakraviaError] = PlatformError) -> Iterator[None]:
        """Errors of the engine inside are told in our words; nothing is asked twice."""
        try:
            yield
        except Exception as error:
            if isinstance(error, CakraviaError) or not _is_of_the_engine(error):
                raise
            said = explained(error)
            raise kind(f"{what}: {said}", remedy=_remedy_of(said) or "see the engine's own log") from error

    def container(self, name: str) -> Container | None:
        """The container of that name, whoever's it is."""
        from docker.errors import NotFound

        def found() -> Container | None:
            try:
                return self.client.containers.get(name)
            except NotFound:
                return None

        return self.ask(f"looking for container {name}", found)

    def ours(self, name: str, *, site: str) -> Container | None:
        """The site's own container of that name. Raises PlatformError, naming it, where it is somebody else's, or that
        of the folder that this one is a copy of."""
        container = self.container(name)
        if container is None:
            return None
        if container.labels.get(SITE_LABEL) == site:
            self._refuse_original(container)
            return container
        image = str(container.attrs.get("Config", {}).get("Image", ""))
        owner = container.labels.get("com.docker.compose.project", "")
        raise PlatformError(
            f"the name {name} is taken by container {container.short_id} ({image}"
            f"{f', of compose project {owner}' if owner else ''}), which does not belong to site {site}",
            remedy="rename or remove it, or choose another [docker] project; it was not touched",
        )

    @property
    def home_label(self) -> dict[str, str]:
        return {HOME_LABEL: f"{socket.gethostname()}:{self._home}"} if self._home else {}

    def _refuse_original(self, container: Container) -> None:
        """A folder that was moved, or that another machine has, may go on with its containers: only where both folders
        are here is one of them a copy."""
        machine, _, told = container.labels.get(HOME_LABEL, "").partition(":")
        original = Path(told)
        if self._home is None or machine != socket.gethostname() or not original.is_dir():
            return
        if not self._home.is_dir() or not original.samefile(self._home):
            raise PlatformError(
                f"container {container.name} belongs to the site in {original.parent}, and this is another folder",
                remedy="give this copy a [site] name and ports of its own; or, where the site has moved here, "
                f"take {original} away; nothing was touched",
            )

    def facts(self) -> dict[str, Any]:
        """The engine about itself, as `docker info` tells it."""
        return self.ask("asking the engine about itself", lambda: dict(self.client.info()))


def explained(error: BaseException) -> str:
    """The engine's own words, on one line."""
    explanation = getattr(error, "explanation", None)
    if isinstance(explanation, bytes):
        explanation = explanation.decode(errors="replace")
    text = str(explanation or error) or type(error).__name__
    return " ".join(text.split())[:600]


def is_away(error: BaseException) -> bool:
    """Whether the engine could not be reached, or went away while answering."""
    import requests.exceptions

    return isinstance(error, requests.exceptions.ConnectionError | requests.exceptions.ChunkedEncodingError)


def was_never_asked(error: BaseException) -> bool:
    """Whether a question certainly did not reach the engine: nobody listens on its socket."""
    return is_away(error) and any(
        word in str(error) for word in ("ConnectionRefusedError", "FileNotFoundError", "Connection refused")
    )


def _is_of_the_engine(error: BaseException) -> bool:
    import requests.exceptions
    from docker.errors import DockerException

    return isinstance(error, DockerException | requests.exceptions.RequestException | OSError)


def _remedy_of(said: str) -> str:
    lower = said.lower()
    return next((remedy for words, remedy in REMEDIES if words in lower), "")
