"""nginx in a container: configuration and flags sent into its volume, users moved by a shell opened beforehand."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cakravia_verify.errors import CakraviaError, PlatformError, ProxyError, UsageError
from cakravia_verify.platforms.docker import containers
from cakravia_verify.platforms.docker.compose import ComposeFile
from cakravia_verify.platforms.docker.containers import Spec
from cakravia_verify.platforms.docker.engine.engine import SITE_LABEL, Engine
from cakravia_verify.platforms.docker.engine.files import RemoteLog
from cakravia_verify.platforms.docker.network import SiteNetwork
from cakravia_verify.platforms.docker.proxy.configuration import (
    EVERYDAY_LOG,
    LEDGER_LOG,
    MOST_FILES,
    STAND_INS,
    ProxyFiles,
    VolumeConfiguration,
    published_ports,
)
from cakravia_verify.platforms.docker.proxy.flags import CONF, ROOT, UID, VolumeFlags
from cakravia_verify.platforms.docker.proxy.image import ProxyImage
from cakravia_verify.platforms.docker.proxy.workers import NginxWorkers
from cakravia_verify.proxy import flags as flag_files
from cakravia_verify.proxy.certificate import read_certificate
from cakravia_verify.proxy.nginx.changes import changes_in_words
from cakravia_verify.proxy.nginx.render import worker_limits
from cakravia_verify.proxy.pins import spans_of
from cakravia_verify.proxy.protocol import Admission, ConfigurationState, ProxyState, ProxyUsage, Switchover
from cakravia_verify.proxy.slot_paths import keep_key, passing_header, slot_path
from cakravia_verify.proxy.stand_ins import DAY, LINE, count_since
from cakravia_verify.settings.models import Settings
from cakravia_verify.settings.section import size_in_bytes
from cakravia_verify.slots import Address, Colour
from cakravia_verify.system.clock import SYSTEM_CLOCK, Clock, Deadline, poll
from cakravia_verify.system.http_exchange import HttpRequest, ProtocolError, exchange
from cakravia_verify.system.log_files import LONGEST_LOG
from cakravia_verify.system.ports import require_free_port

if TYPE_CHECKING:
    from docker.models.containers import Container

PIDS: Final = 128
GRACE: Final = 30
# Of so many requests that the other slot answered, the instants are read.
MOST_STAND_INS: Final = 100_000
COMMAND: Final = ("nginx", "-e", "stderr", "-c", f"{CONF}/nginx.conf")
# The ledger's log and that of stand-ins are emptied in place: nginx appends, so it continues at the start. The everyday
# log is renamed, and the status is then 0. `true >`: a failed redirection of a special builtin would end the shell.
BOUND_LOGS: Final = (
    f'is_long() {{ test "$(stat -c %s "$1" 2>/dev/null || echo 0)" -gt {LONGEST_LOG}; }}; '
    f"for f in {LEDGER_LOG} {STAND_INS}; do is_long $f && true > $f; done; "
    f"is_long {EVERYDAY_LOG} && mv -f {EVERYDAY_LOG} {EVERYDAY_LOG}.1"
)


class DockerNginx:
    """The proxy `<project>-nginx`. Its volume `<project>-proxy` keeps the choice of slot when the container is gone."""

    def __init__(
        self,
        settings: Settings,
        *,
        engine: Engine,
        network: SiteNetwork,
        compose: ComposeFile,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._network = network
        self._compose = compose
        self._clock = clock
        self._flags = VolumeFlags(engine, self._container, clock=clock)
        self._configuration = VolumeConfiguration(settings, engine=engine, network=network, flags=self._flags)
        self._workers = NginxWorkers(self._flags, count=settings.proxy.workers)
        self._image = ProxyImage(settings, engine)
        self._log = RemoteLog(engine, LEDGER_LOG, copy=settings.state / "docker" / "access.log")

    @property
    def address(self) -> Address:
        """The address at which this machine reaches the site like a user."""
        if self._settings.docker.users:
            host, _, port = self._settings.docker.users.rpartition(":")
            return Address(host, int(port))
        listen = self._settings.proxy.address
        if self._engine.tunnel is not None and not listen.host.startswith("127."):
            return Address(self._engine.tunnel.host, listen.port)
        if self._engine.tunnel is not None:
            return self._engine.tunnel.reach(listen)
        return listen.of_this_machine

    @property
    def tls_address(self) -> Address | None:
        tls = self._settings.proxy.tls_address
        if tls is None or self._settings.docker.users or self._engine.tunnel is not None:
            return None
        return tls.of_this_machine

    @property
    def access_log(self) -> Path:
        return self._log.copy

    def fetch_logs(self) -> None:
        self._log.follow(self._container())

    def bound_logs(self) -> None:
        """Shorten long logs. An image without a shell keeps its logs as they are."""
        container = self._container()
        if container is None or container.status != "running":
            return
        status, _ = self._flags.run(BOUND_LOGS)
        if status == 0:
            self._workers.signal("USR1")

    def logs(self, *, lines: int) -> str:
        container = self._container()
        if container is None:
            return ""
        output = self._engine.ask("reading the proxy's log", lambda: container.logs(tail=lines), kind=ProxyError)
        return output.decode(errors="replace").rstrip("\n")

    def path_to(self, colour: Colour) -> str:
        return slot_path(self._configuration.path_key(self._container()), colour)

    @property
    def passing_header(self) -> dict[str, str]:
        folder = self._settings.state / "docker"
        keep_key(folder, self._configuration.path_key(self._container()))
        return passing_header(folder)

    def check(self) -> None:
        try:
            container = self._container()
        except PlatformError as error:
            raise UsageError(error.message, remedy=error.remedy) from error
        self._require_usable_certificate(self._configuration.loaded(container) if container is not None else "")
        if container is None or container.status != "running":
            for key, listen in self._settings.proxy.addresses:
                self._refuse_taken_port(f"[proxy] {key}", listen)
            return
        bindings = container.attrs["HostConfig"].get("PortBindings") or {}
        published = {
            (inside, f"{place['HostIp']}:{place['HostPort']}")
            for inside, places in bindings.items()
            for place in places or []
        }
        wanted = {
            (f"{inside}/tcp", f"{host}:{port}")
            for inside, places in published_ports(self._settings.proxy).items()
            for host, port in places
        }
        if published != wanted:
            raise UsageError(
                f"[proxy] needs {_shown(wanted)} published, but {container.name} publishes {_shown(published)}",
                remedy="restore the address, or restart the site: cakravia down, then cakravia up",
            )
        if self._settings.proxy.snippets.given:
            self._configuration.require_accepted(
                container, self._wanted_files(container, self._configuration.chosen(container))
            )

    def observe(self) -> ProxyState:
        container = self._container()
        is_running = container is not None and container.status == "running"
        workers = self._workers.accepting() if is_running else []
        return ProxyState(
            is_running=is_running,
            chosen=self._configuration.chosen(container),
            has_failover=self._flags.has(flag_files.FAILOVER) and self._configuration.runs_by_flag(container),
            generation=",".join(workers),
            admission=flag_files.admission_of(self._flags),
        )

    def usage(self) -> ProxyUsage | None:
        container = self._container()
        if container is None or container.status != "running" or (used := self._workers.fullest()) is None:
            return None
        limit = worker_limits(self._settings.proxy, open_files=self._configuration.open_files()).connections
        status, found = self._flags.run(f"stat -c %s {STAND_INS} && tail -c {LINE * MOST_STAND_INS} {STAND_INS}")
        size, _, lines = found.partition("\n")
        if status != 0 or not size.isdigit():
            return ProxyUsage(used, limit)
        # The shell's output lacks the last line's end.
        today = count_since(io.BytesIO(f"{lines.rstrip()}\n".encode()), self._clock.wall() - DAY)
        return ProxyUsage(used, limit, int(size) // LINE, today)

    def configuration_state(self) -> ConfigurationState:
        container = self._container()
        if container is None or container.status != "running":
            return ConfigurationState()
        configuration = self._configuration
        files = self._wanted_files(container, configuration.chosen(container))
        written = configuration.written(container)
        refusal = configuration.refusal(container, written)
        return ConfigurationState(files.whole, written, configuration.loaded(container), refusal)

    def start(self, colour: Colour, *, deadline: Deadline) -> Switchover:
        container = self._container()
        if container is not None and container.status == "running":
            self.refresh(deadline=deadline)
            return self.point_at(colour, deadline=deadline)
        image = self.image(deadline=deadline)
        self._network.ensure(deadline=deadline)
        if container is not None:
            self._flags.close()
            containers.remove(self._engine, container)
        decided = self._clock.monotonic()
        spec = self._spec(*image)
        created = containers.create(self._engine, spec, also=self._compose.labels_for(spec), kind=ProxyError)
        files = self._wanted_files(created, colour)
        self._configuration.send_first(created, files)
        self._flags.upload_choice(created, colour)
        containers.start(self._engine, created, kind=ProxyError)
        self._compose.put(spec)
        try:
            poll(self._is_ready, deadline=deadline, every=0.02, observed=lambda: "the proxy does not answer")
        except CakraviaError as error:
            output = self.logs(lines=5)
            self.stop(deadline=Deadline("the proxy stops", 5, clock=self._clock))
            raise ProxyError(
                f"nginx does not start: {output or error}", remedy="read its log: cakravia logs proxy"
            ) from error
        self._forget_failover()
        self._configuration.keep_certificate_of(created, files.text)
        # The engine's limit of open files is known from here on, and may permit fewer connections.
        self.refresh(deadline=deadline)
        self._image.forget_others(image[1])
        return Switchover.timed(colour, decided=decided, effective=self._clock.monotonic())

    def refresh(self, *, deadline: Deadline) -> bool:
        container = self._running()
        chosen = self._configuration.chosen(container)
        files = self._wanted_files(container, chosen)
        loaded = self._configuration.loaded(container)
        if loaded == files.whole and self._configuration.written(container) == loaded:
            return False
        if loaded:
            self._require_usable_certificate(loaded)
        with self._configuration.replaced(container, files, chosen=chosen):
            self._reload(container, files.whole, deadline)
        self._forget_failover()
        return True

    def point_at(self, colour: Colour, *, deadline: Deadline) -> Switchover:
        container = self._running()
        loaded = self._configuration.loaded(container)
        if self._configuration.is_switched_by_flag(loaded):
            return self._flags.point_at(colour)
        decided = self._clock.monotonic()
        before = self._configuration.chosen(container)
        if not loaded or before is not colour:
            files = self._wanted_files(container, colour)
            self._configuration.send_upstream(container, colour)
            try:
                self._configuration.test(container, f"{CONF}/nginx.conf", text=files.text)
                self._reload(container, files.whole, deadline)
            except BaseException:
                self._configuration.send_upstream(container, before)
                raise
        return Switchover.timed(colour, decided=decided, effective=self._clock.monotonic())

    def set_failover(self, *, allowed: bool) -> None:
        if self._container() is not None:
            # switch = "reload" has no failover. A flag that stayed would be effective after a change to "flag".
            is_possible = self._settings.proxy.switch == "flag" and self._settings.proxy.failover
            flag_files.set_failover(self._flags, allowed=allowed and is_possible)

    def pin(self, colour: Colour, version: str) -> None:
        skew = self._settings.proxy.skew
        if skew.is_on:
            self._flags.put_pin(colour, version, spans_of(skew, now=self._clock.wall()))

    def unpin(self, colour: Colour) -> None:
        self._flags.remove_pin(colour)

    def keep_files(self, colour: Colour, files: Mapping[str, Path]) -> None:
        container = self._container()
        # A proxy that does not run has no users with open pages, and the first release of a site has none yet.
        if container is not None and container.status == "running":
            self._configuration.keep_files(container, colour, files)

    def test(self) -> None:
        container = self._running()
        files = self._wanted_files(container, self._configuration.chosen(container))
        self._configuration.require_accepted(container, files)

    def changes(self) -> tuple[str, ...]:
        container = self._running()
        files = self._wanted_files(container, self._configuration.chosen(container))
        return changes_in_words(self._configuration.loaded(container), files.whole)

    def set_admission(self, admission: Admission) -> None:
        flag_files.set_admission(self._flags, admission)

    def stop(self, *, deadline: Deadline) -> None:
        """Stop the container but keep it: its flags and its log can still be read."""
        self._flags.close()
        container = self._container()
        if container is not None and container.status != "exited":
            containers.stop(self._engine, container, deadline=deadline, grace=GRACE)

    def image(self, *, deadline: Deadline, fresh: bool = False) -> tuple[str, str]:
        """Return name and id of the proxy's image. It is built or pulled if the engine lacks it, or if `fresh`."""
        obtained = self._image.obtain(deadline=deadline, fresh=fresh)
        if fresh and (container := self._container()) is not None:
            self._image.forget_others(str(container.attrs["Image"]))
        return obtained

    def image_for_lease(self) -> str:
        """Return the image of the proxy's container, else the proxy's image, which is then built or pulled."""
        if (container := self._container()) is not None:
            return str(container.attrs["Image"])
        build_timeout = self._settings.app.build_timeout
        return self.image(deadline=Deadline("the proxy's image is there", build_timeout, clock=self._clock))[1]

    @property
    def _name(self) -> str:
        return f"{self._settings.docker.project or self._settings.site.name}-nginx"

    def _container(self) -> Container | None:
        return self._engine.ours(self._name, site=self._settings.site.name)

    def _running(self) -> Container:
        container = self._container()
        if container is None or container.status != "running":
            raise ProxyError("the proxy's container does not run", remedy="start it: cakravia up")
        return container

    def _refuse_taken_port(self, what: str, listen: Address) -> None:
        running = self._engine.client.containers
        # Another site's lease, or any other container, may go meanwhile.
        for other in self._engine.ask("listing the published ports", lambda: running.list(ignore_removed=True)):
            for bindings in other.ports.values():
                if any(int(b["HostPort"]) == listen.port for b in bindings or []) and other.name != self._name:
                    raise UsageError(
                        f"{what}: port {listen.port} is published by container {other.name}",
                        remedy=f"choose another port, or run: docker stop {other.name}; it was not touched",
                    )
        if not self._engine.is_remote:
            require_free_port(listen, what=what)

    def _spec(self, image: str, image_id: str) -> Spec:
        settings, docker = self._settings, self._settings.docker
        return Spec(
            name=self._name,
            service="nginx",
            image=image,
            image_id=image_id,
            user=f"{UID}:{UID}",
            network=self._network.name,
            address=self._network.proxy_address,
            memory=size_in_bytes(docker.proxy_memory),
            cpus=docker.cpus,
            pids=PIDS,
            tmpfs=size_in_bytes(docker.tmp_size),
            restart=docker.restart,
            grace=GRACE,
            log_options={"max-size": docker.log_max_size, "max-file": str(docker.log_max_file)},
            labels={SITE_LABEL: settings.site.name, "cakravia.slot": "proxy", "cakravia.digest": image_id},
            volumes={f"{docker.project or settings.site.name}-proxy": ROOT},
            ports=published_ports(settings.proxy),
            command=COMMAND,
            stop_signal="SIGQUIT",
        )

    def _require_usable_certificate(self, loaded: str) -> None:
        certificate = read_certificate(self._settings.proxy)
        if certificate is None:
            return
        from cakravia_verify.proxy.certificate_checks import require_usable  # slow to import

        require_usable(certificate, loaded=loaded, now=datetime.fromtimestamp(self._clock.wall(), UTC))

    def _forget_failover(self) -> None:
        if self._settings.proxy.switch != "flag":
            self.set_failover(allowed=False)

    def _wanted_files(self, container: Container, colour: Colour) -> ProxyFiles:
        version = self._image.version(str(container.attrs["Image"]))
        open_files = self._configuration.open_files() if container.status == "running" else MOST_FILES
        return self._configuration.wanted(container, version, colour=colour, open_files=open_files)

    def _reload(self, container: Container, loaded: str, deadline: Deadline) -> None:
        # A crash between here and the new workers leaves it unknown which configuration runs.
        self._configuration.forget_loaded(container)
        self._workers.replace(deadline=deadline)
        self._configuration.note_loaded(container, loaded)

    def _is_ready(self) -> bool:
        container = self._container()
        if container is None or container.status in ("exited", "dead", "restarting"):
            output = self.logs(lines=5)
            raise ProxyError(f"nginx does not start: {output}", remedy="read its log: cakravia logs proxy")
        asked = HttpRequest("GET", self.address, "/.cakravia/proxy", {"Host": str(self.address), "Connection": "close"})
        with contextlib.suppress(OSError, ProtocolError, ValueError):
            return exchange(asked, 2.0).status == 200
        return False


def _shown(ports: Iterable[tuple[str, str]]) -> str:
    return ", ".join(place for _, place in sorted(ports)) or "nothing"
