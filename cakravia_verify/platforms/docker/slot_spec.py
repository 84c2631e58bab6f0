"""The specification of a slot's container, and its folder in the volume of the slots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cakravia_verify.errors import PlatformError
from cakravia_verify.platforms.docker.containers import Spec, image_user
from cakravia_verify.platforms.docker.engine.engine import SITE_LABEL, Engine
from cakravia_verify.platforms.docker.engine.files import ArchiveEntry, fetch, send
from cakravia_verify.platforms.docker.network import SiteNetwork
from cakravia_verify.platforms.docker.project_parts import NETWORKS
from cakravia_verify.platforms.docker.service import ServiceDefinition
from cakravia_verify.settings.models import Settings
from cakravia_verify.settings.section import size_in_bytes
from cakravia_verify.slots import Artifact, Colour, Role

if TYPE_CHECKING:
    from docker.models.containers import Container

VOLUME: Final = "/srv/cakravia"
SECRETS: Final = "/run/secrets"
ROLES: Final = "roles"
COMMON_NAMES: Final = frozenset({"HOST", "DATA_DIR", "MEMORY_LIMIT"})
RELEASE, VERSION, SLOT, DIGEST = "cakravia.release", "cakravia.version", "cakravia.slot", "cakravia.digest"


@dataclass(frozen=True)
class Place:
    """The slot, the release and the start time (ISO 8601) of a container."""

    colour: Colour
    release: str
    since: str


def slot_spec(
    settings: Settings,
    artifact: Artifact,
    place: Place,
    *,
    user: str,
    definition: ServiceDefinition,
    network: SiteNetwork,
    ports: Mapping[int, tuple[tuple[str, int], ...]],
) -> Spec:
    """Return the complete specification. `user` is not root; `ports` maps inside to (host, port) outside."""
    docker = settings.docker
    memory = definition.memory or settings.slots.memory_bytes
    project = docker.project or settings.site.name
    name = f"{project}-app-{place.colour}"
    return Spec(
        name=name,
        service=f"app-{place.colour}",
        image=artifact.location,
        image_id=artifact.digest,
        user=user,
        network=network.name,
        address=network.address_of(place.colour),
        memory=memory,
        cpus=definition.cpus or docker.cpus,
        pids=definition.pids or docker.pids,
        tmpfs=size_in_bytes(docker.tmp_size),
        restart=docker.restart,
        grace=max(1, definition.grace or round(settings.app.grace)),
        log_options={"max-size": docker.log_max_size, "max-file": str(docker.log_max_file)},
        environment=_environment(settings, artifact, place, definition=definition, memory=memory),
        labels={
            **definition.labels,
            **({NETWORKS: ",".join(definition.networks)} if definition.networks else {}),
            SITE_LABEL: settings.site.name,
            RELEASE: place.release,
            VERSION: artifact.version,
            SLOT: str(place.colour),
            DIGEST: artifact.digest,
        },
        volumes={f"{project}-slots": VOLUME},
        # Each slot has its own: the other slot may have the secrets of another version.
        read_only_volumes={f"{name}-secrets": SECRETS} if docker.secrets or definition.secrets else {},
        ports=ports,
        stop_signal=definition.stop_signal,
        definition=definition,
    )


def prepare_volume(engine: Engine, container: Container, colour: Colour, user: str) -> None:
    """Create the slot's folder in the volume, writable for its user, with an empty request log."""
    uid, gid = numbers_of(engine, container, user)
    entries = [
        # Both slots write here, and versions may run as different users.
        ArchiveEntry("data", mode=0o777, uid=uid, gid=gid),
        ArchiveEntry(str(colour), mode=0o700, uid=uid, gid=gid),
        ArchiveEntry(f"{colour}/requests.log", b"", mode=0o600, uid=uid, gid=gid),
    ]
    send(engine, container, VOLUME, entries)
    if fetch(engine, container, f"{VOLUME}/{ROLES}/{colour}") is None:
        write_roles(engine, container, {colour: Role.INACTIVE})


def prepare_data(engine: Engine, container: Container, user: str) -> None:
    """Create the folder of `DATA_DIR` in the volume, for a container that is no slot."""
    uid, gid = numbers_of(engine, container, user)
    send(engine, container, VOLUME, [ArchiveEntry("data", mode=0o777, uid=uid, gid=gid)])


def write_roles(engine: Engine, container: Container, roles: Mapping[Colour, Role]) -> None:
    """Write role files into the volume. They belong to root, so a slot can only read them."""
    entries = [ArchiveEntry(ROLES, mode=0o755)]
    entries += [ArchiveEntry(f"{ROLES}/{colour}", role.line, mode=0o444) for colour, role in roles.items()]
    send(engine, container, VOLUME, entries)


def _environment(
    settings: Settings, artifact: Artifact, place: Place, *, definition: ServiceDefinition, memory: int
) -> dict[str, str]:
    ours = {
        "HOST": "0.0.0.0",  # noqa: S104 - inside the private network
        "PORT": str(settings.docker.port),
        "DEPLOYMENT_SLOT": str(place.colour),
        "DEPLOYMENT_RELEASE": place.release,
        "DEPLOYMENT_TIMESTAMP": place.since,
        "APP_VERSION": artifact.version,
        "DATA_DIR": f"{VOLUME}/data",
        "DEPLOYMENT_ROLE_FILE": f"{VOLUME}/{ROLES}/{place.colour}",
        "REQUEST_LOG": f"{VOLUME}/{place.colour}/requests.log",
        "MEMORY_LIMIT": str(memory),
        "CAKRAVIA_DIGEST": artifact.digest,
    }
    # These names are common. A project that uses them itself means its own.
    theirs = COMMON_NAMES & set(definition.environment)
    ours = {name: value for name, value in ours.items() if name not in theirs}
    return {**definition.environment, **settings.app.environment, **ours}


def user_of(engine: Engine, artifact: Artifact, definition: ServiceDefinition) -> str:
    """Return the user of the slot's processes. Raises PlatformError if it is root."""
    user = definition.user or image_user(engine, artifact.digest)
    if user.partition(":")[0] in ("", "0", "root"):
        raise PlatformError(
            f"the image of {artifact.version} runs as root",
            remedy='add USER to its Dockerfile, or set [docker] user = "10001:10001"',
        )
    return user


def numbers_of(engine: Engine, container: Container, user: str) -> tuple[int, int]:
    """Return user and group as numbers. Raises PlatformError if the image does not have the user."""
    name, _, group = user.partition(":")
    if name.isdigit():
        return int(name), int(group) if group.isdigit() else int(name)
    known = (fetch(engine, container, "/etc/passwd") or b"").decode(errors="replace")
    for line in known.splitlines():
        fields = line.split(":")
        if fields[0] == name and len(fields) > 3:
            return int(fields[2]), int(fields[3])
    raise PlatformError(
        f"the image runs as user {name!r}, but its /etc/passwd has no such user",
        remedy="use the user's number in the Dockerfile or in [docker] user",
    )
