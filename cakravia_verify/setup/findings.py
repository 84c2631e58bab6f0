"""What the files of a project say: frozen facts that `cakravia init` shows and plans with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class ProjectFact:
    """One fact and the file that says it."""

    file: str
    what: str


@dataclass(frozen=True)
class Application:
    """An application as its files describe it. An empty `command`: it can run in a container only.

    `writable` are folders that it writes to in a container. `migration` is the command that migrates its database.
    `assets` are the paths of files whose names change with each version.
    `workers` are further processes of the same version, by name.
    """

    framework: str
    command: tuple[str, ...] = ()
    build: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int = 0
    writable: tuple[str, ...] = ()
    assets: tuple[str, ...] = ()
    migration: tuple[str, ...] = ()
    workers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    findings: tuple[ProjectFact, ...] = ()


@dataclass(frozen=True)
class ImageFile:
    """A Dockerfile, or an image. `port` is 0 and `user` empty if it names none.

    `health` is the path that its health check asks. `migrates`: it migrates the database itself when it starts.
    """

    path: str
    base: str = ""
    port: int = 0
    user: str = ""
    health: str = ""
    folder: str = "/"
    migrates: bool = False

    @property
    def runs_as_root(self) -> bool:
        return self.user.partition(":")[0] in ("", "0", "root")


@dataclass(frozen=True)
class ComposeService:
    """A service of a compose file, as far as a slot is made of it.

    `ports` are those inside the container. `to_remove` are keys that two slots cannot have. `variable` is the name in
    `image: shop:${TAG}` that stands for the version. `unfit` has a line for each key that makes it unfit for a slot.
    """

    name: str
    image: str = ""
    context: str = ""
    dockerfile: str = ""
    ports: tuple[int, ...] = ()
    is_published: bool = False
    user: str = ""
    health: str = ""
    command: str = ""
    variable: str = ""
    needs: tuple[str, ...] = ()
    to_remove: tuple[str, ...] = ()
    unfit: tuple[str, ...] = ()

    @property
    def is_built(self) -> bool:
        return bool(self.context)


@dataclass(frozen=True)
class ComposeProject:
    """The compose files of a project and their services."""

    files: tuple[str, ...]
    services: tuple[ComposeService, ...]

    def service(self, name: str) -> ComposeService | None:
        return next((each for each in self.services if each.name == name), None)


@dataclass(frozen=True)
class Route:
    """A path that the source names. `is_sure`: a plain GET of any user gets the page."""

    path: str
    is_sure: bool


@dataclass(frozen=True)
class Routes:
    """Paths of the application: pages for users, and health endpoints by the key of `[contract]`.

    `others` may need a login, a parameter or another method.
    """

    pages: tuple[str, ...] = ()
    health: Mapping[str, str] = field(default_factory=dict)
    others: tuple[str, ...] = ()
    knows_slots: bool = False
    findings: tuple[ProjectFact, ...] = ()


@dataclass(frozen=True)
class ProxyFile:
    """An nginx configuration of the project. `upstreams` are host names and ports that it passes requests to."""

    path: str
    host: str = ""
    upstreams: tuple[tuple[str, int], ...] = ()
    max_body: str = ""
    read_timeout: float = 0.0
    certificate: str = ""
    key: str = ""
    locations: tuple[str, ...] = ()


@dataclass(frozen=True)
class FoundProject:
    """Everything that `cakravia init` found in a folder."""

    name: str
    application: Application | None = None
    image_file: ImageFile | None = None
    compose: ComposeProject | None = None
    proxy_file: ProxyFile | None = None
    routes: Routes = Routes()
    env_file: str = ""
    findings: tuple[ProjectFact, ...] = ()
