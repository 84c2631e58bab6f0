"""A platform, a proxy and a prober in memory, for unit tests. A test can script their failures."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from cakravia_verify.errors import PlatformError, ProxyError, UsageError
from cakravia_verify.health.models import Reading
from cakravia_verify.health.probe import Answer
from cakravia_verify.platforms.commands import VersionCommand
from cakravia_verify.platforms.protocol import surplus_of
from cakravia_verify.proxy.nginx.changes import changes_in_words
from cakravia_verify.proxy.protocol import Admission, ConfigurationState, ProxyState, ProxyUsage, Switchover
from cakravia_verify.slots import Address, Artifact, Colour, Role, Slot
from cakravia_verify.system.clock import Clock, Deadline
from cakravia_verify.system.resources import SlotUse
from cakravia_verify.testing.memory_companions import MemoryCompanions

ENDPOINTS = ("health", "ready", "live", "status")
PORTS = {Colour.BLUE: 3000, Colour.GREEN: 3001}
PROXY_ADDRESS = Address("127.0.0.1", 8080)
SLOT_PATH = "/.cakravia/slot/memory/"


class FakeClock:
    """A clock that moves only by `sleep`."""

    def __init__(self, start: float = 1_000.0) -> None:
        self.now = start
        self.slept: list[float] = []
        self.on_sleep: Callable[[], None] = lambda: None

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now + 1_700_000_000.0

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += max(seconds, 1e-6)
        self.on_sleep()


@dataclass
class MemorySite:
    """A whole site in memory: it is the platform, the proxy and the prober at once.

    `sick` holds versions whose probes fail. `mute` holds identities of slots that give no answer through the proxy.
    `unstartable` holds versions whose program is missing. With `broken_by_proxy`, the proxy answers 502 itself.
    `stranger` answers at the address of a slot that is gone.
    `served` maps a version to what it answers by path, with its media type; every other path of it is 404.
    `failing` maps an operation, such as `start` or `point_at`, to how many more times it raises. `acted` lists the
    operations in order. `scripted` maps the first word of a command to its duration and status; `commands` lists the
    commands. `uses` is what the slots use, at one look after the other. `before` is called ahead of each operation with
    its name.
    """

    clock: Clock
    running: dict[Colour, Slot] = field(default_factory=dict)
    chosen: Colour = Colour.BLUE
    proxy_runs: bool = False
    failover: bool = False
    admission: Admission = Admission.OPEN
    usage: ProxyUsage = field(default_factory=lambda: ProxyUsage(connections=12, limit=16_384))
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    sick: set[str] = field(default_factory=set)
    lies: dict[str, str] = field(default_factory=dict)
    failing: dict[str, int] = field(default_factory=dict)
    acted: list[str] = field(default_factory=list)
    open_connections: dict[Colour, int] = field(default_factory=dict)
    before: Callable[[str], None] = lambda _: None
    stuck_on: Colour | None = None
    broken_by_proxy: bool = False
    mute: set[str] = field(default_factory=set)
    unstartable: set[str] = field(default_factory=set)
    stranger: Slot | None = None
    cut_off: list[str] = field(default_factory=list)
    noticed: list[str] = field(default_factory=list)
    scripted: dict[str, tuple[float, int]] = field(default_factory=dict)
    commands: list[VersionCommand] = field(default_factory=list)
    roles: dict[Colour, Role] = field(default_factory=dict)
    failed_writes: tuple[str, ...] = ()
    pins: dict[Colour, str] = field(default_factory=dict)
    kept_files: dict[Colour, dict[str, bytes]] = field(default_factory=dict)
    served: dict[str, dict[str, tuple[str, bytes]]] = field(default_factory=dict)
    refused_settings: str = ""
    configuration: ConfigurationState = field(default_factory=ConfigurationState)
    slot_logs: dict[Colour, str] = field(default_factory=dict)
    uses: list[SlotUse] = field(default_factory=list)
    name: str = "memory"
    companions: MemoryCompanions = field(init=False)
    _starts: int = 0
    _generation: int = 1

    def __post_init__(self) -> None:
        self.companions = MemoryCompanions(self._act)

    def _act(self, operation: str, note: str = "") -> None:
        self.before(operation)
        if self.failing.get(operation, 0) > 0:
            self.failing[operation] -= 1
            error = ProxyError if operation in ("point_at", "start_proxy", "refresh") else PlatformError
            raise error(f"{operation} fails, as the test scripted", remedy="change the script")
        self.acted.append(f"{operation} {note}".strip())

    # the platform

    def check(self) -> None:
        return None

    def notes(self) -> tuple[str, ...]:
        return ()

    def reconnect(self) -> tuple[str, ...]:
        cut, self.cut_off = self.cut_off, []
        return tuple(f"{part} was cut off, and is reached again" for part in cut)

    def prefetch(self, version: str, *, deadline: Deadline, told: Callable[[str], None] = lambda _: None) -> None:
        return None

    def build(self, version: str, *, deadline: Deadline) -> Artifact:
        self._act("build", version)
        return self.artifacts.setdefault(version, Artifact(version, f"sha256:{version}", version))

    @property
    def build_log(self) -> Path | None:
        return None

    def retained(self) -> tuple[Artifact, ...]:
        return tuple(reversed(self.artifacts.values()))

    def verify(self, artifact: Artifact) -> None:
        if artifact not in self.artifacts.values():
            raise PlatformError(f"version {artifact.version} is not retained any more", remedy="deploy it again")

    def require_startable(self, artifact: Artifact) -> None:
        if artifact.version in self.unstartable:
            raise PlatformError(f"version {artifact.version} lacks its program", remedy="install it")

    def start(self, colour: Colour, artifact: Artifact, *, release: str, deadline: Deadline) -> Slot:
        self._act("start", f"{colour} {artifact.version}")
        self._starts += 1
        self.running[colour] = Slot(
            colour=colour,
            version=artifact.version,
            digest=artifact.digest,
            release=release,
            address=Address("127.0.0.1", PORTS[colour]),
            identity=f"run-{self._starts}",
            started_at=self.clock.wall(),
        )
        return self.running[colour]

    def set_roles(self, active: Colour | None) -> None:
        self.roles = {colour: Role.of(colour, active) for colour in Colour}

    def run_command(self, artifact: Artifact, command: VersionCommand) -> MemoryCommand:
        self._act("run", " ".join(command.argv))
        self.commands.append(command)
        seconds, status = self.scripted.get(command.argv[0], (0.0, 0))
        return MemoryCommand(self, self.clock.monotonic() + seconds, status)

    def end_commands(self, release: str) -> None:
        self._act("end_commands", release)

    def observe(self, colour: Colour) -> Slot | None:
        return self.running.get(colour)

    def connections(self, colour: Colour) -> int:
        return self.open_connections.get(colour, 0)

    def stop(self, colour: Colour, *, deadline: Deadline) -> None:
        self._act("stop", str(colour))
        self.running.pop(colour, None)

    def remarks(self) -> tuple[str, ...]:
        noticed, self.noticed = tuple(self.noticed), []
        return noticed

    def prune(self, *, keep: Collection[str], retain: int, promoted: Collection[str] = ()) -> tuple[Artifact, ...]:
        self._act("prune")
        running = {slot.digest for slot in self.running.values()}
        gone = [
            a
            for a in surplus_of(self.retained(), retain=retain, promoted=promoted)
            if a.digest not in {*keep, *running}
        ]
        for artifact in gone:
            del self.artifacts[artifact.version]
        return tuple(gone)

    def logs(self, colour: Colour, *, lines: int) -> str:
        return self.slot_logs.get(colour, "")

    def file_names(self, colour: Colour, folder: str) -> tuple[str, ...]:
        return ()

    def write_failures(self, colour: Colour) -> tuple[str, ...]:
        return self.failed_writes

    def use(self, colour: Colour) -> SlotUse | None:
        return self.uses.pop(0) if self.uses else None

    def request_log(self, colour: Colour) -> Path | None:
        return None

    def fetch_logs(self) -> None:
        return None

    def bound_logs(self) -> None:
        return None

    # the prober

    def read(self, address: Address, endpoint: str) -> Reading:
        slot = self._answering(address)
        sick = slot is None or slot.version in self.sick
        return Reading(
            endpoint=endpoint,
            url=f"{address.url}/{endpoint}",
            status_code=None if slot is None else 503 if sick else 200,
            state="unhealthy" if sick else "healthy",
            slot=str(slot.colour) if slot else None,
            version=self.lies.get(slot.version, slot.version) if slot else None,
            in_flight=self.open_connections.get(slot.colour, 0) if slot else None,
            latency=0.001,
            problem="connection refused" if slot is None else "status 503" if sick else "",
        )

    def read_all(self, address: Address) -> tuple[Reading, ...]:
        return tuple(self.read(address, endpoint) for endpoint in ENDPOINTS)

    def request(
        self, address: Address, method: str, path: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        slot = self._answering(address)
        if path.startswith(SLOT_PATH) and address == PROXY_ADDRESS:
            colour, _, rest = path.removeprefix(SLOT_PATH).partition("/")
            slot, path = self.running.get(Colour(colour)) if self.proxy_runs else None, f"/{rest}"
        if slot is None or slot.identity in self.mute:
            return Answer(None, {}, b"", "connection refused", 0.001)
        if self.broken_by_proxy and address == PROXY_ADDRESS:
            return Answer(502, {}, b"", "", 0.001)
        named = {
            "X-Deployment-Slot": str(slot.colour),
            "X-Deployment-Version": slot.version,
            "X-Served-Slot": slot.colour,
        }
        if slot.version in self.served:
            media_type, content = self.served[slot.version].get(path, ("", b""))
            return Answer(200 if media_type else 404, {**named, "content-type": media_type}, content, "", 0.001)
        return Answer(200, named, b"hello", "", 0.001)

    def _answering(self, address: Address) -> Slot | None:
        if address == PROXY_ADDRESS:
            if not self.proxy_runs:
                return None
            colour = self.stuck_on or self.chosen
            stranger = self.stranger if self.stranger and self.stranger.colour is colour else None
            return self.running.get(colour) or stranger or (self.running.get(colour.other) if self.failover else None)
        return next((slot for slot in self.running.values() if slot.address == address), None)


@dataclass
class MemoryCommand:
    """A command that ends by itself at an instant, with a status."""

    site: MemorySite
    ends_at: float
    final: int

    def status(self) -> int | None:
        return self.final if self.site.clock.monotonic() >= self.ends_at else None

    def output(self) -> str:
        return "the output"

    def end(self) -> None:
        self.site.acted.append("end command")


@dataclass
class MemoryProxy:
    """The proxy face of a MemorySite."""

    site: MemorySite
    address: Address = PROXY_ADDRESS
    access_log: Path | None = None
    tls_address: Address | None = None

    @property
    def passing_header(self) -> dict[str, str]:
        return {}

    def path_to(self, colour: Colour) -> str:
        return f"{SLOT_PATH}{colour}"

    def check(self) -> None:
        return None

    def fetch_logs(self) -> None:
        return None

    def bound_logs(self) -> None:
        return None

    def logs(self, *, lines: int) -> str:
        return ""

    def observe(self) -> ProxyState:
        site = self.site
        return ProxyState(site.proxy_runs, site.chosen, site.failover, str(site._generation), admission=site.admission)

    def usage(self) -> ProxyUsage | None:
        return self.site.usage if self.site.proxy_runs else None

    def configuration_state(self) -> ConfigurationState:
        return self.site.configuration

    def start(self, colour: Colour, *, deadline: Deadline) -> Switchover:
        self.site._act("start_proxy", str(colour))
        self.site.proxy_runs = True
        return self._choose(colour)

    def refresh(self, *, deadline: Deadline) -> bool:
        self.site._act("refresh")
        return False

    def point_at(self, colour: Colour, *, deadline: Deadline) -> Switchover:
        self.site._act("point_at", str(colour))
        return self._choose(colour)

    def set_failover(self, *, allowed: bool) -> None:
        self.site._act("set_failover", str(allowed))
        self.site.failover = allowed

    def set_admission(self, admission: Admission) -> None:
        self.site._act("set_admission", admission)
        self.site.admission = admission

    def pin(self, colour: Colour, version: str) -> None:
        self.site.pins[colour] = version

    def unpin(self, colour: Colour) -> None:
        self.site.pins.pop(colour, None)

    def keep_files(self, colour: Colour, files: Mapping[str, Path]) -> None:
        if not self.site.proxy_runs:
            raise ProxyError("the proxy does not run", remedy="start it")
        self.site.kept_files[colour] = {path: place.read_bytes() for path, place in files.items()}

    def test(self) -> None:
        if self.site.refused_settings:
            raise UsageError(self.site.refused_settings, remedy="correct it")

    def changes(self) -> tuple[str, ...]:
        return changes_in_words(self.site.configuration.loaded, self.site.configuration.wanted)

    def stop(self, *, deadline: Deadline) -> None:
        self.site._act("stop_proxy")
        self.site.proxy_runs = False

    def _choose(self, colour: Colour) -> Switchover:
        decided = self.site.clock.monotonic()
        self.site.chosen = colour
        return Switchover.timed(colour, decided=decided, effective=self.site.clock.monotonic())


def running_slot(colour: Colour, version: str) -> Slot:
    """Return a slot as an earlier release left it."""
    template = Slot(
        colour, version, f"sha256:{version}", "earlier", Address("127.0.0.1", PORTS[colour]), "earlier", 0.0
    )
    return replace(template, identity=f"earlier-{colour}")
