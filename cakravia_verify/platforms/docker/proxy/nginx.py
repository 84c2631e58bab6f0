"""nginx in a container: configuration and flags sent into its volume, users moved by a shell opened beforehand."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpx

from cakravia_verify.errors import CakraviaError, PlatformError, ProxyError, UsageError
from cakravia_verify.platforms.docker import containers
from cakravia_verify.platforms.docker.compose import ComposeFile
from cakravia_verify.platforms.docker.containers import Spec
from cakravia_verify.platforms.docker.engine.engine import SITE_LABEL, Engine
from cakravia_verify.platforms.docker.engine.files import RemoteLog
from cakravia_verify.platforms.docker.network import SiteNetwork
from cakravia_verify.platforms.docker.proxy.configuration import (
    EVERYDAY_LOG,
    INSIDE_PORT,
    INSIDE_TLS_PORT,
    LEDGER_LOG,
    Told,
    VolumeConfiguration,
)
from cakravia_verify.platforms.docker.proxy.flags import CONF, ROOT, UID, VolumeFlags
from cakravia_verify.platforms.docker.proxy.image import ProxyImage
from cakravia_verify.platforms.process.nginx_processes import HUNG_SECONDS
from cakravia_verify.proxy import flags as flag_files
from cakravia_verify.proxy.certificate import read_certificate
from cakravia_verify.proxy.protocol import ProxyState, Switchover
from cakravia_verify.settings.models import Settings
from cakravia_verify.settings.section import size_in_bytes
from cakravia_verify.slots import Address, Colour
from cakravia_verify.system.clock import SYSTEM_CLOCK, Clock, Deadline, poll
from cakravia_verify.system.log_files import LONGEST_LOG
from cakravia_verify.system.ports import require_free_port

if TYPE_CHECKING:
    from docker.models.containers import Container

PIDS: Final = 128
GRACE: Final = 30
COMMAND: Final = ("nginx", "-e", "stderr", "-c", f"{CONF}/nginx.conf")
# The ledger's log is emptied in place: nginx appends, so it goes on from the start. The everyday log gets another name;
# status 0 where it did. `true >`: a failed redirection of a special builtin would end the shell.
BOUND_LOGS: Final = (
    f'is_long() {{ test "$(stat -c %s "$1" 2>/dev/null || echo 0)" -gt {LONGEST_LOG}; }}; '
    f"is_long {LEDGER_LOG} && true > {LEDGER_LOG}; is_long {EVERYDAY_LOG} && mv -f {EVERYDAY_LOG} {EVERYDAY_LOG}.1"
)
# A worker's title; the brackets keep the question from finding itself.
WORKERS: Final = "grep -sl 'nginx: worker [p]rocess' /proc/[0-9]*/cmdline"
LEAVING: Final = "grep -sl 'is shutting [d]own' /proc/[0-9]*/cmdline"


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
        self._image = ProxyImage(settings, engine)
        self._log = RemoteLog(engine, LEDGER_LOG, copy=settings.state / "docker" / "access.log")

    @property
    def address(self) -> Address:
        """Where this machine, as a user, reaches the site."""
        if self._settings.docker.users:
            host, _, port = self._settings.docker.users.rpartition(":")
            return Address(host, int(port))
        listen = self._settings.proxy.address
        if self._engine.tunnel is not None and not listen.host.startswith("127."):
            return Address(self._engine.tunnel.host, listen.port)
        if self._engine.tunnel is not None:
            return self._engine.tunnel.reach(listen)
        return Address("127.0.0.1", listen.port) if listen.host == "0.0.0.0" else listen  # noqa: S104

    @property
    def access_log(self) -> Path:
        return self._log.copy

    def fetch_logs(self) -> None:
        self._log.follow(self._container())

    def bound_logs(self) -> None:
        """An image without a shell keeps its logs as they are."""
        container = self._container()
        if container is None or container.status != "running":
            return
        status, _ = self._flags.run(BOUND_LOGS)
        if status == 0:
            what = "telling nginx to open its log anew"
            self._engine.ask(what, lambda: container.kill(signal="SIGUSR1"), kind=ProxyError)

    def logs(self, *, lines: int) -> str:
        container = self._container()
        if container is None:
            return ""
        said = self._engine.ask("reading the proxy's log", lambda: container.logs(tail=lines), kind=ProxyError)
        return said.decode(errors="replace").rstrip("\n")

    def check(self) -> None:
        try:
            container = self._container()
        except PlatformError as error:
            raise UsageError(error.message, remedy=error.remedy) from error
        read_certificate(self._settings.proxy)
        if container is None or container.status != "running":
            for key, listen in self._listens.items():
                self._refuse_taken_port(f"[proxy] {key}", listen)
            return
        bindings = container.attrs["HostConfig"].get("PortBindings") or {}
        published = {
            (inside, f"{place['HostIp']}:{place['HostPort']}")
            for inside, places in bindings.items()
            for place in places or []
        }
        wanted = {(f"{inside}/tcp", f"{host}:{port}") for inside, (host, port) in self._ports.items()}
        if published != wanted:
            raise UsageError(
                f"[proxy] wants {_shown(wanted)} published, but {container.name} publishes {_shown(published)}",
                remedy="put it back, or run cakravia down, then cakravia up: a published port needs a new container",
            )

    def observe(self) -> ProxyState:
        container = self._container()
        is_running = container is not None and container.status == "running"
        workers = self._workers() if is_running else []
        return ProxyState(
            is_running=is_running,
            chosen=self._configuration.chosen(container),
            has_failover=self._flags.has(flag_files.FAILOVER) and self._configuration.runs_by_flag(container),
            generation=",".join(workers),
        )

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
        told = self._told(created, colour)
        self._configuration.send_first(created, told)
        self._flags.upload_choice(created, colour)
        containers.start(self._engine, created, kind=ProxyError)
        self._compose.put(spec)
        try:
            poll(self._is_ready, deadline=deadline, every=0.02, observed=lambda: "no answer from it yet")
        except CakraviaError as error:
            said = self.logs(lines=5)
            self.stop(deadline=Deadline("the proxy stops", 5, clock=self._clock))
            raise ProxyError(f"nginx does not start: {said or error}", remedy="cakravia logs proxy") from error
        self._forget_failover()
        self._configuration.keep_certificate_of(created, told.text)
        self._image.forget_others(image[1])
        return Switchover.timed(colour, decided=decided, effective=self._clock.monotonic())

    def refresh(self, *, deadline: Deadline) -> bool:
        container = self._running()
        chosen = self._configuration.chosen(container)
        told = self._told(container, chosen)
        if self._configuration.loaded(container) == told.whole:
            return False
        with self._configuration.replaced(container, told, chosen=chosen):
            self._reload(container, told.whole, deadline)
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
            told = self._told(container, colour)
            self._configuration.send_upstream(container, colour)
            try:
                self._configuration.test(container, f"{CONF}/nginx.conf")
                self._reload(container, told.whole, deadline)
            except BaseException:
                self._configuration.send_upstream(container, before)
                raise
        return Switchover.timed(colour, decided=decided, effective=self._clock.monotonic())

    def set_failover(self, *, allowed: bool) -> None:
        if self._container() is not None:
            # The classic switch knows no failover; a flag left would come into force with the next change of the way.
            is_possible = self._settings.proxy.switch == "flag" and self._settings.proxy.failover
            flag_files.set_failover(self._flags, allowed=allowed and is_possible)

    def stop(self, *, deadline: Deadline) -> None:
        """The container stays, stopped: the choice of slot can be read, and its log."""
        self._flags.close()
        container = self._container()
        if container is not None and container.status != "exited":
            containers.stop(self._engine, container, deadline=deadline, grace=GRACE)

    def image(self, *, deadline: Deadline, fresh: bool = False) -> tuple[str, str]:
        """Name and id of the proxy's image; built or pulled where the engine lacks it, or `fresh` is wanted."""
        obtained = self._image.obtain(deadline=deadline, fresh=fresh)
        if fresh and (container := self._container()) is not None:
            self._image.forget_others(str(container.attrs["Image"]))
        return obtained

    # The rest is how.

    @property
    def _name(self) -> str:
        return f"{self._settings.docker.project or self._settings.site.name}-nginx"

    def _container(self) -> Container | None:
        return self._engine.ours(self._name, site=self._settings.site.name)

    def _running(self) -> Container:
        container = self._container()
        if container is None or container.status != "running":
            raise ProxyError("the proxy's container does not run", remedy="cakravia up starts it")
        return container

    @property
    def _listens(self) -> dict[str, Address]:
        """Where users come in, by the key of the settings."""
        proxy = self._settings.proxy
        return {"listen": proxy.address} | ({"tls_listen": proxy.tls_address} if proxy.tls_address else {})

    @property
    def _ports(self) -> dict[int, tuple[str, int]]:
        inside = {"listen": INSIDE_PORT, "tls_listen": INSIDE_TLS_PORT}
        return {inside[key]: (listen.host, listen.port) for key, listen in self._listens.items()}

    def _refuse_taken_port(self, what: str, listen: Address) -> None:
        for other in self._engine.ask("looking who publishes ports", self._engine.client.containers.list):
            for bindings in other.ports.values():
                if any(int(b["HostPort"]) == listen.port for b in bindings or []) and other.name != self._name:
                    raise UsageError(
                        f"{what}: port {listen.port} is published by container {other.name}",
                        remedy="choose another port, or stop that container; it was not touched",
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
            tmpfs=size_in_bytes(docker.tmpfs),
            restart=docker.restart,
            grace=GRACE,
            log_options={"max-size": docker.log_max_size, "max-file": str(docker.log_max_file)},
            labels={SITE_LABEL: settings.site.name, "cakravia.slot": "proxy", "cakravia.digest": image_id},
            volumes={f"{docker.project or settings.site.name}-proxy": ROOT},
            ports=self._ports,
            command=COMMAND,
            stop_signal="SIGQUIT",
        )

    def _forget_failover(self) -> None:
        if self._settings.proxy.switch != "flag":
            self.set_failover(allowed=False)

    def _told(self, container: Container, colour: Colour) -> Told:
        return self._configuration.wanted(self._image.version(str(container.attrs["Image"])), colour)

    def _workers(self) -> list[str]:
        """Process ids of workers that take requests."""
        _, found = self._flags.run(f"{WORKERS}; echo -; {LEAVING}")
        workers, _, leaving = found.partition("-")
        return sorted(set(_pids(workers)) - set(_pids(leaving)))

    def _reload(self, container: Container, loaded: str, deadline: Deadline) -> None:
        before = set(self._workers())
        # From here until the new workers are seen, a crash leaves it open which configuration runs.
        self._configuration.forget_loaded(container)
        self._engine.ask("telling nginx to reload", lambda: container.kill(signal="SIGHUP"), kind=ProxyError)

        patience = Deadline("they take no more", min(HUNG_SECONDS, deadline.remaining / 2), clock=deadline.clock)

        def renewed() -> bool:
            now = set(self._workers())
            is_there = len(now - before) >= self._settings.proxy.workers
            if is_there and now & before and patience.is_over:
                self._flags.run(f"kill -KILL {' '.join(now & before)}")
                return False
            return is_there and not now & before

        poll(renewed, deadline=deadline, every=0.01, observed=lambda: "no new worker generation after the reload")
        self._configuration.note_loaded(container, loaded)

    def _is_ready(self) -> bool:
        container = self._container()
        if container is None or container.status in ("exited", "dead", "restarting"):
            said = self.logs(lines=5)
            raise ProxyError(f"nginx does not start: {said}", remedy="cakravia logs proxy")
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.address.url}/.cakravia/proxy", timeout=2, trust_env=False).status_code == 200
        return False


def _pids(text: str) -> list[str]:
    return re.findall(r"/proc/([0-9]+)/cmdline", text)


def _shown(ports: Iterable[tuple[str, str]]) -> str:
    return ", ".join(place for _, place in sorted(ports)) or "nothing"
