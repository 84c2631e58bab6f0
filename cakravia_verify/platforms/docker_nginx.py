"""nginx in a container: configuration and flags sent into its volume, users moved by a shell opened beforehand."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpx

from cakravia_verify.deadline import SYSTEM_CLOCK, Clock, Deadline, poll
from cakravia_verify.errors import CakraviaError, PlatformError, ProxyError, UsageError
from cakravia_verify.journal import write_atomically
from cakravia_verify.platforms import docker_containers as containers
from cakravia_verify.platforms.docker_compose import ComposeFile
from cakravia_verify.platforms.docker_containers import Spec
from cakravia_verify.platforms.docker_engine import SITE_LABEL, Engine
from cakravia_verify.platforms.docker_exec import run_in
from cakravia_verify.platforms.docker_files import Entry, RemoteLog, fetch, send
from cakravia_verify.platforms.docker_flags import CONF, LOGS, ROOT, UID, VolumeFlags
from cakravia_verify.platforms.docker_images import build_image, pull_image
from cakravia_verify.platforms.docker_network import SiteNetwork
from cakravia_verify.ports import require_free_port
from cakravia_verify.proxy import flags as flag_files
from cakravia_verify.proxy.render import NginxPaths, render_nginx, render_upstream
from cakravia_verify.proxy.switching import Flip, ProxyState
from cakravia_verify.settings import Settings, size_in_bytes
from cakravia_verify.slots import Address, Colour

if TYPE_CHECKING:
    from docker.models.containers import Container
    from docker.models.images import Image

INSIDE_PORT: Final = 8080
PIDS: Final = 128
GRACE: Final = 30
IMAGE_SECONDS: Final = 600.0
COMMAND: Final = ("nginx", "-e", "stderr", "-c", f"{CONF}/nginx.conf")
LOG_KEPT: Final = 256 * 2**20
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
        self._log = RemoteLog(engine, f"{LOGS}/access.log", copy=settings.state / "docker" / "access.log")

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
        container = self._container()
        if not self._log.has_begun and container is not None and container.status == "running":
            self._set_long_log_aside(container)
        self._log.follow(container)

    def _set_long_log_aside(self, container: Container) -> None:
        """A ledger that outgrew its bound is set aside; nginx goes on with a new file and loses no line."""
        path = f"{LOGS}/access.log"
        status, _ = self._flags.run(
            f'test "$(stat -c %s {path} 2>/dev/null || echo 0)" -gt {LOG_KEPT} && mv {path} {path}.1'
        )
        if status == 0:
            what = "telling nginx to reopen its log"
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
        listen = self._settings.proxy.address
        if container is None or container.status != "running":
            self._refuse_taken_port(listen)
            return
        bindings = container.attrs["HostConfig"].get("PortBindings") or {}
        published = [(b["HostIp"], b["HostPort"]) for b in bindings.get(f"{INSIDE_PORT}/tcp") or []]
        if published != [(listen.host, str(listen.port))]:
            shown = ", ".join(":".join(each) for each in published) or "nothing"
            raise UsageError(
                f"[proxy] listen is {listen}, but {container.name} publishes {shown}",
                remedy="put it back, or run cakravia down, then cakravia up: a published port needs a new container",
            )

    def observe(self) -> ProxyState:
        container = self._container()
        is_running = container is not None and container.status == "running"
        workers = self._workers() if is_running else []
        return ProxyState(
            is_running=is_running,
            chosen=self._chosen(),
            has_failover=self._flags.has(flag_files.FAILOVER),
            generation=",".join(workers),
        )

    def start(self, colour: Colour, *, deadline: Deadline) -> Flip:
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
        text = self._rendered(image[1])
        send(self._engine, created, ROOT, self._files(text, colour), kind=ProxyError)
        if self._flags.has(flag_files.GREEN_ACTIVE) is not (colour is Colour.GREEN):
            self._flags.write(created, flag_files.GREEN_ACTIVE, wanted=colour is Colour.GREEN)
        containers.start(self._engine, created, kind=ProxyError)
        self._compose.put(spec)
        try:
            poll(self._is_ready, deadline=deadline, every=0.02, seen=lambda: "no answer from it yet")
        except CakraviaError as error:
            said = self.logs(lines=5)
            self.stop(deadline=Deadline("the proxy stops", 5, clock=self._clock))
            raise ProxyError(f"nginx does not start: {said or error}", remedy="cakravia logs proxy") from error
        return Flip(colour, decided, self._clock.monotonic())

    def refresh(self, *, deadline: Deadline) -> bool:
        container = self._running()
        text, chosen = self._rendered(str(container.attrs["Image"])), self._chosen()
        if self._loaded(container) == text + self._upstream_text(chosen):
            return False
        before = fetch(self._engine, container, f"{CONF}/nginx.conf", kind=ProxyError)
        if self._settings.proxy.switch == "flag":
            flag_files.choose(self._flags, chosen)
        send(self._engine, container, CONF, self._conf_files(text, chosen, name="nginx.conf.new"), kind=ProxyError)
        self._test(container, f"{CONF}/nginx.conf.new")
        self._as_root(container, f"mv {CONF}/nginx.conf.new {CONF}/nginx.conf")
        try:
            self._reload(container, text + self._upstream_text(chosen), deadline)
        except BaseException:
            if before:
                send(self._engine, container, CONF, [Entry("nginx.conf", before)], kind=ProxyError)
            raise
        return True

    def point_at(self, colour: Colour, *, deadline: Deadline) -> Flip:
        container = self._running()
        loaded = self._loaded(container)
        if _is_by_flag(loaded) if loaded else self._settings.proxy.switch == "flag":
            self._flags.open_shell()
            decided = self._clock.monotonic()
            return Flip(colour, decided, self._flags.set(flag_files.GREEN_ACTIVE, wanted=colour is Colour.GREEN))
        decided = self._clock.monotonic()
        before = self._chosen()
        if not loaded or before is not colour:
            text = self._rendered(str(container.attrs["Image"]))
            send(self._engine, container, CONF, self._upstream_files(colour), kind=ProxyError)
            try:
                self._test(container, f"{CONF}/nginx.conf")
                self._reload(container, text + self._upstream_text(colour), deadline)
            except BaseException:
                send(self._engine, container, CONF, self._upstream_files(before), kind=ProxyError)
                raise
        return Flip(colour, decided, self._clock.monotonic())

    def set_failover(self, *, allowed: bool) -> None:
        if self._settings.proxy.switch == "flag" and self._container() is not None:
            flag_files.set_failover(self._flags, allowed=allowed and self._settings.proxy.failover)

    def stop(self, *, deadline: Deadline) -> None:
        """The container stays, stopped: the choice of slot can be read, and its log."""
        self._flags.close()
        container = self._container()
        if container is not None and container.status != "exited":
            containers.stop(self._engine, container, deadline=deadline, grace=GRACE)

    def image(self, *, deadline: Deadline, fresh: bool = False) -> tuple[str, str]:
        """Name and id of the proxy's image; built or pulled where the engine lacks it, or `fresh` is wanted."""
        from docker.errors import ImageNotFound

        docker = self._settings.docker
        if docker.proxy_image:
            pulled = pull_image(
                self._engine, docker.proxy_image, policy=docker.pull, platform=docker.platform, deadline=deadline
            )
            return docker.proxy_image, str(pulled.id)
        repository = f"cakravia-verify/{self._settings.site.name}-nginx"
        current = f"{repository}:current"
        image: Image | None = None
        if not fresh:
            with contextlib.suppress(ImageNotFound):
                image = self._engine.client.images.get(current)
        if image is None:
            image = build_image(
                self._engine,
                self._settings.root / docker.proxy_context if docker.proxy_context else _own_context(),
                dockerfile="Dockerfile",
                arguments=docker.proxy_build_args,
                platform=docker.platform,
                deadline=deadline,
                tag=current,
            )
        # A name that no later build takes away from the container that runs.
        exact = f"built-{str(image.id).removeprefix('sha256:')[:12]}"
        self._engine.ask("naming the proxy's image", lambda: image.tag(repository, tag=exact))
        return f"{repository}:{exact}", str(image.id)

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

    def _refuse_taken_port(self, listen: Address) -> None:
        for other in self._engine.ask("looking who publishes ports", self._engine.client.containers.list):
            for bindings in other.ports.values():
                if any(int(b["HostPort"]) == listen.port for b in bindings or []) and other.name != self._name:
                    raise UsageError(
                        f"[proxy] listen: port {listen.port} is published by container {other.name}",
                        remedy="choose another port, or stop that container; it was not touched",
                    )
        if not self._engine.is_remote:
            require_free_port(listen, what="[proxy] listen")

    def _spec(self, image: str, image_id: str) -> Spec:
        settings, docker = self._settings, self._settings.docker
        listen = settings.proxy.address
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
            ports={INSIDE_PORT: (listen.host, listen.port)},
            command=COMMAND,
            stop_signal="SIGQUIT",
        )

    def _rendered(self, image_id: str) -> str:
        paths = NginxPaths(
            pid="/tmp/nginx.pid",  # noqa: S108 - the container's own
            error_log="stderr",
            access_log=f"{LOGS}/access.log",
            temp="/tmp",  # noqa: S108
            flags=f"{ROOT}/flags",
            upstream=f"{CONF}/upstream.conf",
        )
        return render_nginx(
            self._settings.proxy,
            paths=paths,
            upstreams=self._upstreams(),
            version=self._version(image_id),
            listen=str(INSIDE_PORT),
            daemon=False,
        )

    def _upstreams(self) -> dict[Colour, Address]:
        return {colour: Address(self._network.address_of(colour), self._settings.docker.port) for colour in Colour}

    def _version(self, image_id: str) -> tuple[int, ...]:
        """nginx's own, asked once for each image."""
        note = self._settings.state / "docker" / "nginx-version"
        with contextlib.suppress(OSError, ValueError, KeyError):
            return tuple(json.loads(note.read_text(encoding="utf-8"))[image_id])
        said = self._engine.ask(
            "asking nginx for its version", lambda: _said_once(self._engine, image_id, ["nginx", "-v"]), kind=ProxyError
        )
        match = re.search(rb"nginx/([0-9]+)\.([0-9]+)\.([0-9]+)", said)
        if not match:
            raise ProxyError(f"the proxy's image has no nginx: {said[:200]!r}", remedy="see images/nginx/Dockerfile")
        version = [int(part) for part in match.groups()]
        write_atomically(note, json.dumps({image_id: version}).encode())
        return tuple(version)

    def _files(self, text: str, colour: Colour) -> list[Entry]:
        loaded = (text + self._upstream_text(colour)).encode()
        files = [*self._conf_files(text, colour, name="nginx.conf"), Entry("nginx.conf.loaded", loaded)]
        return [Entry(f"conf/{file.name}", file.content, mode=0o644) for file in files]

    def _conf_files(self, text: str, colour: Colour, *, name: str) -> list[Entry]:
        return [*self._upstream_files(colour), Entry(name, text.encode())]

    def _upstream_files(self, colour: Colour) -> list[Entry]:
        if self._settings.proxy.switch == "flag":
            return []
        texts = {each: render_upstream(self._settings.proxy, each, address=self._upstreams()[each]) for each in Colour}
        templates = [Entry(f"upstream.{each}.template", text.encode()) for each, text in texts.items()]
        return [*templates, Entry("upstream.conf", texts[colour].encode())]

    def _upstream_text(self, colour: Colour) -> str:
        if self._settings.proxy.switch == "flag":
            return ""
        return render_upstream(self._settings.proxy, colour, address=self._upstreams()[colour])

    def _loaded(self, container: Container) -> str:
        """The configuration that the running nginx has taken up; empty while that is not certain."""
        return (self._flags.read(container, f"{CONF}/nginx.conf.loaded") or b"").decode(errors="replace")

    def _chosen(self) -> Colour:
        container = self._container()
        if container is None:
            return Colour.BLUE
        loaded = self._loaded(container)
        if _is_by_flag(loaded) if loaded else self._settings.proxy.switch == "flag":
            return flag_files.chosen_colour(self._flags)
        text = loaded or (fetch(self._engine, container, f"{CONF}/upstream.conf") or b"").decode(errors="replace")
        named = re.search(r"^# active: (blue|green)$", text, re.MULTILINE)
        return Colour(named[1]) if named else Colour.BLUE

    def _workers(self) -> list[str]:
        """Process ids of workers that take requests."""
        _, found = self._flags.run(f"{WORKERS}; echo -; {LEAVING}")
        workers, _, leaving = found.partition("-")
        return sorted(set(_pids(workers)) - set(_pids(leaving)))

    def _test(self, container: Container, path: str) -> None:
        command = ["nginx", "-e", "stderr", "-t", "-c", path]
        status, said = run_in(self._engine, container, command, what="testing nginx's configuration", kind=ProxyError)
        if status != 0:
            shown = " | ".join(said.decode(errors="replace").strip().splitlines()[-3:])
            raise ProxyError(
                f"nginx refuses the configuration: {shown}", remedy="the running one is unchanged; users are unharmed"
            )

    def _as_root(self, container: Container, line: str) -> None:
        """uid 0 without capabilities owns the configuration's folder, and can do nothing else."""
        what = "changing nginx's configuration"
        status, said = run_in(self._engine, container, ["sh", "-c", line], what=what, user="0", kind=ProxyError)
        if status != 0:
            raise ProxyError(
                f"nginx's configuration cannot be changed: {said.decode(errors='replace').strip()[:300]}",
                remedy="look at the proxy's volume",
            )

    def _reload(self, container: Container, loaded: str, deadline: Deadline) -> None:
        before = set(self._workers())
        # From here until the new workers are seen, a crash leaves it open which configuration runs.
        self._as_root(container, f"rm -f {CONF}/nginx.conf.loaded")
        self._engine.ask("telling nginx to reload", lambda: container.kill(signal="SIGHUP"), kind=ProxyError)

        def renewed() -> bool:
            now = set(self._workers())
            return len(now - before) >= self._settings.proxy.workers and not now & before

        poll(renewed, deadline=deadline, every=0.01, seen=lambda: "no new worker generation after the reload")
        send(self._engine, container, CONF, [Entry("nginx.conf.loaded", loaded.encode())], kind=ProxyError)

    def _is_ready(self) -> bool:
        container = self._container()
        if container is None or container.status in ("exited", "dead", "restarting"):
            said = self.logs(lines=5)
            raise ProxyError(f"nginx does not start: {said}", remedy="cakravia logs proxy")
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.address.url}/.cakravia/proxy", timeout=2, trust_env=False).status_code == 200
        return False


def _said_once(engine: Engine, image_id: str, command: list[str]) -> bytes:
    """What a command in a container of its own writes; the container and its volumes are gone afterwards."""
    container = engine.client.containers.create(
        image_id, command, entrypoint=[], network_mode="none", read_only=True, cap_drop=["ALL"], mem_limit=64 * 2**20
    )
    try:
        container.start()
        container.wait(timeout=GRACE)
        return container.logs()
    finally:
        container.remove(force=True, v=True)


def _pids(text: str) -> list[str]:
    return re.findall(r"/proc/([0-9]+)/cmdline", text)


def _is_by_flag(configuration: str) -> bool:
    return "proxy_pass http://active;" not in configuration


def _own_context() -> Path:
    """The proxy's Dockerfile: beside this module where the package is installed, else in the repository."""
    packaged = Path(__file__).with_name("nginx_image")
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "images" / "nginx"
