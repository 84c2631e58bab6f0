"""The Docker platform: each slot is a container with a fixed address in the site's private network."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from cakravia_verify.errors import CakraviaError, PlatformError, UsageError
from cakravia_verify.platforms.commands import RELEASE_VARIABLE, VersionCommand
from cakravia_verify.platforms.docker import containers
from cakravia_verify.platforms.docker.building.context import notes_on_context
from cakravia_verify.platforms.docker.commands import ContainerCommand, command_spec, remove_command
from cakravia_verify.platforms.docker.companion_service import CompanionServices
from cakravia_verify.platforms.docker.companions import DockerCompanions
from cakravia_verify.platforms.docker.compose import ComposeFile
from cakravia_verify.platforms.docker.compose_neighbours import refuse_foreign_file, refuse_shared_project
from cakravia_verify.platforms.docker.connections import proxy_connections
from cakravia_verify.platforms.docker.container_use import use_in
from cakravia_verify.platforms.docker.containers import Spec
from cakravia_verify.platforms.docker.engine.engine import Engine
from cakravia_verify.platforms.docker.engine.files import RemoteLog, names_below
from cakravia_verify.platforms.docker.images import ImageStore
from cakravia_verify.platforms.docker.network import NETWORK_SECONDS, NOWHERE, SiteNetwork
from cakravia_verify.platforms.docker.project_parts import ensure_volumes, join_networks, rejoin_networks
from cakravia_verify.platforms.docker.secrets import bring_secrets, forget_secrets, read_secrets
from cakravia_verify.platforms.docker.service import ServiceDefinition
from cakravia_verify.platforms.docker.slot_addresses import SlotAddresses
from cakravia_verify.platforms.docker.slot_end import out_of_memory, stop_in_grace
from cakravia_verify.platforms.docker.slot_service import SlotService
from cakravia_verify.platforms.docker.slot_spec import (
    RELEASE,
    VERSION,
    VOLUME,
    Place,
    prepare_volume,
    slot_spec,
    user_of,
    write_roles,
)
from cakravia_verify.platforms.docker.writable import own_writable
from cakravia_verify.platforms.docker.write_failures import write_failures_in
from cakravia_verify.settings.models import Settings
from cakravia_verify.slots import Address, Artifact, Colour, Role, Slot
from cakravia_verify.system.clock import SYSTEM_CLOCK, Clock, Deadline
from cakravia_verify.system.commands import end_told_processes
from cakravia_verify.system.files import write_atomically
from cakravia_verify.system.resources import SlotUse

if TYPE_CHECKING:
    from docker.models.containers import Container

LOG_LINES: Final = 1000
ALIVE: Final = frozenset({"running", "restarting", "paused"})


class DockerPlatform:
    """The slots `<project>-app-blue` and `<project>-app-green`, with one volume that outlives them."""

    name = "docker"

    def __init__(
        self,
        settings: Settings,
        *,
        engine: Engine,
        network: SiteNetwork,
        images: ImageStore,
        service: SlotService,
        compose: ComposeFile,
        clock: Clock = SYSTEM_CLOCK,
        also_before_the_lock: Callable[[Deadline], object] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._docker = settings.docker
        self._engine = engine
        self._network = network
        self._addresses = SlotAddresses(settings, engine=engine, network=network)
        self._images = images
        self._service = service
        services = CompanionServices(settings, service)
        self.companions = DockerCompanions(settings, engine, network, services, compose)
        self._compose = compose
        self._clock = clock
        self._also_before_the_lock = also_before_the_lock
        self._remarks: list[str] = []
        self._prefetched: dict[str, Artifact | CakraviaError] = {}
        self._requests = {
            colour: RemoteLog(engine, f"{VOLUME}/{colour}/requests.log", copy=self._copy(colour)) for colour in Colour
        }

    def check(self) -> None:
        facts = self._engine.facts()
        if facts.get("OSType") != "linux":
            raise UsageError(
                f"the engine runs {facts.get('OSType')} containers",
                remedy="use an engine for Linux containers",
            )
        for limit, what in (("MemoryLimit", "memory"), ("PidsLimit", "number of processes")):
            if facts.get(limit) is False:
                raise UsageError(
                    f"the engine cannot limit the {what} of a container",
                    remedy="enable the control groups of that machine; see the warnings of: docker info",
                )
        with _as_usage_error():
            for colour in Colour:
                self._engine.ours(self._name(colour), site=self._site)
            self._network.find()
        refuse_foreign_file(self._compose)
        refuse_shared_project(self._engine, self._compose, site=self._site)
        self._refuse_moved_slots()

    def reconnect(self) -> tuple[str, ...]:
        """Reconnect running containers that lost their network. Returns one line for each container."""
        parts: list[tuple[str, str, Container | None]] = [
            (f"app-{colour}", colour.value, self._container(colour)) for colour in Colour
        ]
        proxy = self._engine.ours(self._proxy_name, site=self._site)
        lines = []
        for service, slot, container in [*parts, ("nginx", "", proxy)]:
            if container is None or container.status not in ALIVE or self._network.has(container):
                continue
            self._network.ensure(deadline=Deadline("the network exists", NETWORK_SECONDS, clock=self._clock))
            address = self._network.address_of(Colour(slot)) if slot else self._network.proxy_address
            self._network.join(container, address=address, service=service)
            lines.append(f"{container.name} had lost network {self._network.name}; it is connected again, at {address}")
        slots = [container for _, _, container in parts if container is not None and container.status in ALIVE]
        return (*lines, *rejoin_networks(self._engine, slots), *self.companions.reconnect())

    def notes(self) -> tuple[str, ...]:
        try:
            return (*self._service.notes(), *self.companions.services.notes(), *self._notes_on_context())
        except UsageError as error:
            return (error.message,)

    def _notes_on_context(self) -> tuple[str, ...]:
        settings = self._settings
        context = self._service.sources(self._docker).context
        if not context or "{version}" in context:
            return ()
        written = (settings.state, settings.reports, settings.root / self._docker.compose_file)
        return tuple(notes_on_context(settings.root / context, written))

    def prefetch(self, version: str, *, deadline: Deadline, told: Callable[[str], None] = lambda _: None) -> None:
        """Pull or build the image before the lock is held. `build` then uses exactly this image."""
        try:
            with _as_usage_error():
                self._service.require(self._engine, version)
                self.companions.require(version)
            self._also_before_the_lock(deadline)
            self._prefetched[version] = self._obtain(version, deadline=deadline, told=told)
        except CakraviaError as error:
            self._prefetched[version] = error
            raise

    def build(self, version: str, *, deadline: Deadline) -> Artifact:
        found = self._prefetched.pop(version, None)
        if isinstance(found, CakraviaError):
            raise found
        return found or self._obtain(version, deadline=deadline)

    @property
    def build_log(self) -> Path | None:
        return self._images.build_log

    def retained(self) -> tuple[Artifact, ...]:
        return self._images.retained()

    def verify(self, artifact: Artifact) -> None:
        self._images.verify(artifact)

    def require_startable(self, artifact: Artifact) -> None:
        self._service.require(self._engine, artifact.version)

    def start(self, colour: Colour, artifact: Artifact, *, release: str, deadline: Deadline) -> Slot:
        self.verify(artifact)
        definition = self._service.require(self._engine, artifact.version, deadline=deadline)
        secrets = read_secrets(self._settings, definition)
        self.stop(colour, deadline=deadline)
        self._network.ensure(deadline=deadline)
        spec = self._spec(artifact, Place(colour, release, self._started_at()), definition)
        ensure_volumes(self._engine, definition)
        bring_secrets(self._engine, spec, secrets)
        container = containers.create(self._engine, spec, also=self._compose.labels_for(spec))
        try:
            prepare_volume(self._engine, container, colour, spec.user)
            own_writable(self._engine, spec, container)
            join_networks(self._engine, container, definition.networks)
            containers.start(self._engine, container)
        except CakraviaError:
            containers.remove(self._engine, container)
            forget_secrets(self._engine, container)
            raise
        self._requests[colour].restart()
        self._compose.put(spec)
        return self._slot_of(colour, container)

    def set_roles(self, active: Colour | None) -> None:
        # Both slots mount the volume, so one container is enough to write both files.
        container = next(filter(None, map(self._container, Colour)), None)
        if container is not None:
            write_roles(self._engine, container, {colour: Role.of(colour, active) for colour in Colour})

    def run_command(self, artifact: Artifact, command: VersionCommand) -> ContainerCommand:
        self._network.ensure(deadline=Deadline("the network exists", NETWORK_SECONDS, clock=self._clock))
        definition = self._service.require(self._engine, artifact.version)
        slot = self._spec(artifact, Place(Colour.BLUE, "", self._started_at()), definition)
        ensure_volumes(self._engine, definition)
        spec = command_spec(slot, command, name=self._command_name, version=artifact.version)
        secrets = read_secrets(self._settings, definition)
        return ContainerCommand(self._engine, spec, secrets=secrets, stdin=command.stdin)

    def end_commands(self, release: str) -> None:
        end_told_processes({RELEASE_VARIABLE: release})
        if (left := self._engine.ours(self._command_name, site=self._site)) is not None:
            remove_command(self._engine, left)

    def observe(self, colour: Colour) -> Slot | None:
        container = self._container(colour)
        if container is None or container.status not in ALIVE:
            return None
        return self._slot_of(colour, container)

    def connections(self, colour: Colour) -> int:
        """Return how many connections the proxy has to the slot."""
        container = self._container(colour)
        if container is None or container.status not in ALIVE:
            return 0
        return proxy_connections(
            self._engine,
            self._addresses.in_network(colour),
            slot=container,
            proxy=self._engine.container(self._proxy_name),
            proxy_host=self._network.proxy_address,
        )

    def stop(self, colour: Colour, *, deadline: Deadline) -> None:
        container = self._container(colour)
        if container is None:
            return
        if container.status in ALIVE:
            grace = self._grace_of(container)
            self._remarks += stop_in_grace(self._engine, container, deadline=deadline, grace=grace)
        with contextlib.suppress(
            CakraviaError, OSError
        ):  # a release must not fail because the last lines of a log are lost
            self._requests[colour].follow(container)
            write_atomically(self._saved_log(colour), container.logs(tail=LOG_LINES))
        containers.remove(self._engine, container)
        forget_secrets(self._engine, container)
        self._compose.drop(f"app-{colour}")

    def remarks(self) -> tuple[str, ...]:
        remarks, self._remarks = tuple(self._remarks), []
        return remarks

    def prune(self, *, keep: Collection[str], retain: int, promoted: Collection[str] = ()) -> tuple[Artifact, ...]:
        running = {slot.digest for slot in map(self.observe, Colour) if slot}
        return self._images.prune(keep={*keep, *running}, retain=retain, promoted=promoted)

    def logs(self, colour: Colour, *, lines: int) -> str:
        container = self._container(colour)
        if container is not None:
            content = self._engine.ask(f"reading the log of {container.name}", lambda: container.logs(tail=lines))
        else:
            content = self._saved_log(colour).read_bytes() if self._saved_log(colour).exists() else b""
        note = out_of_memory(container, limit=self._settings.slots.memory_limit) if container is not None else []
        return "\n".join([*content.decode(errors="replace").splitlines(), *note][-lines:])

    def file_names(self, colour: Colour, folder: str) -> tuple[str, ...]:
        container = self._container(colour)
        if container is None:
            return ()
        start = container.attrs["Config"].get("WorkingDir") or "/"
        return names_below(self._engine, container, str(PurePosixPath(start, folder)))

    def write_failures(self, colour: Colour) -> tuple[str, ...]:
        return tuple(write_failures_in(self.logs(colour, lines=LOG_LINES)))

    def use(self, colour: Colour) -> SlotUse | None:
        container = self._container(colour)
        return use_in(self._engine, container) if container is not None else None

    def request_log(self, colour: Colour) -> Path | None:
        return self._copy(colour)

    def fetch_logs(self) -> None:
        for colour in Colour:
            container = self._container(colour)
            self._requests[colour].follow(container, user=_user_in(container) if container else "")

    def bound_logs(self) -> None:
        """Empty long logs. A slot without a shell keeps its log until its next start."""
        for colour in Colour:
            container = self._container(colour)
            if container is not None and container.status == "running":
                self._requests[colour].empty_long(container, user=_user_in(container))

    @property
    def _site(self) -> str:
        return self._settings.site.name

    @property
    def _project(self) -> str:
        return self._docker.project or self._site

    def _name(self, colour: Colour) -> str:
        return f"{self._project}-app-{colour}"

    @property
    def _command_name(self) -> str:
        return f"{self._project}-hook"

    @property
    def _proxy_name(self) -> str:
        return f"{self._project}-nginx"

    def _copy(self, colour: Colour) -> Path:
        return self._settings.state / "docker" / f"requests-{colour}.log"

    def _saved_log(self, colour: Colour) -> Path:
        return self._settings.state / "docker" / f"app-{colour}.log"

    def _container(self, colour: Colour) -> Container | None:
        return self._engine.ours(self._name(colour), site=self._site)

    def _slot_of(self, colour: Colour, container: Container) -> Slot:
        """Return the slot from the container's own data. A restart by the engine changes the identity."""
        state = container.attrs["State"]
        labels = container.labels
        return Slot(
            colour=colour,
            version=labels.get(VERSION, "unknown"),
            digest=str(container.attrs["Image"]),
            release=labels.get(RELEASE, ""),
            address=self._addresses.for_probes(colour)
            if self._network.has(container)
            else Address(NOWHERE, self._docker.port),
            identity=f"{str(container.id)[:12]}@{state['StartedAt']}",
            started_at=_seconds_since_1970(str(state["StartedAt"])),
        )

    def _started_at(self) -> str:
        return datetime.fromtimestamp(self._clock.wall(), UTC).isoformat(timespec="seconds")

    def _obtain(self, version: str, *, deadline: Deadline, told: Callable[[str], None] = lambda _: None) -> Artifact:
        """Build, load or pull the image of the version, from the source that the service has."""
        images = replace(self._images, settings=self._service.sources(self._docker))
        return images.add(version, deadline=deadline, told=told)

    def _spec(self, artifact: Artifact, place: Place, definition: ServiceDefinition) -> Spec:
        return slot_spec(
            self._settings,
            artifact,
            place,
            ports=self._addresses.published(place.colour),
            user=user_of(self._engine, artifact, definition),
            definition=definition,
            network=self._network,
        )

    def _grace_of(self, container: Container) -> float:
        """Return the grace that the container was created with."""
        return float(container.attrs["Config"].get("StopTimeout") or self._settings.app.grace)

    def _refuse_moved_slots(self) -> None:
        for colour in Colour:
            container = self._container(colour)
            if container is None or container.status not in ALIVE:
                continue
            port = _environment_of(container).get("PORT", str(self._docker.port))
            if port != str(self._docker.port):
                raise UsageError(
                    f"[docker] port is {self._docker.port}, but {container.name} listens on {port} now",
                    remedy=f"set it back to {port}; change the port only while no slot runs (cakravia down)",
                )


def _user_in(container: Container) -> str:
    return str(container.attrs["Config"].get("User") or "")


def _environment_of(container: Container) -> dict[str, str]:
    rows: list[str] = container.attrs["Config"].get("Env") or []
    return dict(row.partition("=")[::2] for row in rows)


def _seconds_since_1970(instant: str) -> float:
    with contextlib.suppress(ValueError):
        whole, _, fraction = instant.rstrip("Z").partition(".")
        return datetime.fromisoformat(f"{whole}.{(fraction + '000000')[:6]}+00:00").timestamp()
    return 0.0


@contextlib.contextmanager
def _as_usage_error() -> Any:
    """Raise PlatformErrors of the block as UsageErrors: nothing was changed yet."""
    try:
        yield
    except PlatformError as error:
        raise UsageError(error.message, remedy=error.remedy) from error
