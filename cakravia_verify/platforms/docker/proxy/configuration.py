"""nginx's configuration files in the proxy's volume, and the configuration that the running nginx has loaded."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from cakravia_verify.errors import ProxyError, UsageError
from cakravia_verify.platforms.docker.engine.engine import Engine
from cakravia_verify.platforms.docker.engine.exec import run_in
from cakravia_verify.platforms.docker.engine.files import ArchiveEntry, fetch, send
from cakravia_verify.platforms.docker.network import SiteNetwork
from cakravia_verify.platforms.docker.proxy.flags import ASSETS, CONF, LOGS, ROOT, UID, VolumeFlags
from cakravia_verify.platforms.docker.proxy.pages import WEB
from cakravia_verify.platforms.docker.proxy.workers import PID_FILE
from cakravia_verify.proxy import flags as flag_files
from cakravia_verify.proxy.certificate import read_certificate
from cakravia_verify.proxy.error_pages import read_error_pages
from cakravia_verify.proxy.kept_files import SETS, set_name
from cakravia_verify.proxy.monitor_pages import PASSWORD_FILE, MonitorPages, has_pages
from cakravia_verify.proxy.nginx.render import (
    NginxPaths,
    is_switched_by_flag,
    named_active,
    render_nginx,
    render_upstream,
)
from cakravia_verify.proxy.nginx.site_facts import facts_of
from cakravia_verify.proxy.slot_paths import key_in, key_of
from cakravia_verify.proxy.snippets import explain, read_snippets
from cakravia_verify.settings.models import Settings
from cakravia_verify.settings.proxy import ProxySettings
from cakravia_verify.slots import Address, Colour

if TYPE_CHECKING:
    from docker.models.containers import Container

INSIDE_PORT: Final = 8080
INSIDE_TLS_PORT: Final = 8443
LEDGER_LOG, EVERYDAY_LOG = f"{LOGS}/access.log", f"{LOGS}/everyday.log"
STAND_INS = f"{LOGS}/stand-ins.log"
# Until the container runs, the engine's limit is unknown.
MOST_FILES: Final = 2**30
DRAFT: Final = "nginx.conf.new"
TESTED: Final = "nginx.conf.tested"
# Bytes of kept files in one archive, which is in memory.
LARGEST_ARCHIVE: Final = 16 * 2**20
CERTIFICATE: Final = re.compile(r"tls-[0-9a-f]+")


def published_ports(proxy: ProxySettings) -> dict[int, tuple[tuple[str, int], ...]]:
    """Return the addresses outside for each port that the proxy listens on inside its container."""
    inside: dict[int, tuple[tuple[str, int], ...]] = {}
    for key, listen in proxy.addresses:
        port = {"listen": INSIDE_PORT, "tls_listen": INSIDE_TLS_PORT}[key]
        inside[port] = (*inside.get(port, ()), (listen.host, listen.port))
    return inside


@dataclass(frozen=True)
class ProxyFiles:
    """A complete configuration: nginx.conf (`text`), the same with the active upstream (`whole`), and other files."""

    text: str
    whole: str
    others: tuple[ArchiveEntry, ...]

    def entries(self, *, name: str) -> list[ArchiveEntry]:
        """Return all files. nginx.conf gets the name `name`."""
        return [*self.others, ArchiveEntry(name, self.text.encode())]


class VolumeConfiguration:
    """Configuration, upstreams and certificate in the proxy's volume.

    All files are sent as archives. No folder of this machine is mounted. No command, environment variable, label or
    image contains the key.
    """

    def __init__(self, settings: Settings, *, engine: Engine, network: SiteNetwork, flags: VolumeFlags) -> None:
        self._settings = settings
        self._engine = engine
        self._network = network
        self._flags = flags

    def wanted(self, container: Container, version: tuple[int, ...], *, colour: Colour, open_files: int) -> ProxyFiles:
        """Return the files for the present settings and certificate, for that nginx version, with users on `colour`.

        `open_files` is the hard limit of a process in the container.
        """
        certificate = read_certificate(self._settings.proxy)
        name = f"tls-{certificate.digest}" if certificate else ""
        error_pages = read_error_pages(self._settings.proxy)
        paths = NginxPaths(
            pid=PID_FILE,
            error_log="stderr",
            access_log=LEDGER_LOG,
            everyday_log=EVERYDAY_LOG,
            stand_ins=STAND_INS,
            # On the engine's disk: bodies of uploads in a tmpfs would count against the container's memory.
            temp=LOGS,
            flags=f"{ROOT}/flags",
            upstream=f"{CONF}/upstream.conf",
            certificate=f"{CONF}/{name}.pem",
            key=f"{CONF}/{name}.key",
            assets=ASSETS,
            error_pages=f"{CONF}/page-",
        )
        key = self.path_key(container)
        text = render_nginx(
            self._settings.proxy,
            paths=paths,
            upstreams=self._upstreams(),
            site_key=key,
            version=version,
            listens=(str(INSIDE_PORT),),
            own_address=f"127.0.0.1:{INSIDE_PORT}",
            tls_listens=(str(INSIDE_TLS_PORT),),
            certificate=certificate,
            facts=facts_of(self._settings),
            daemon=False,
            error_pages=error_pages,
            open_files=open_files,
            pages=self._pages,
            snippets=read_snippets(self._settings.proxy.snippets),
        )
        others = self.upstream_files(colour)
        others += [ArchiveEntry(f"page-{each}.html", content) for each, content in error_pages.items()]
        if self._pages is not None and self._pages.password:
            others.append(ArchiveEntry(PASSWORD_FILE, self._pages.password_line, mode=0o400, uid=UID, gid=UID))
        if certificate is not None:
            others.append(ArchiveEntry(f"{name}.pem", certificate.chain))
            others.append(ArchiveEntry(f"{name}.key", certificate.key, mode=0o400, uid=UID, gid=UID))
        return ProxyFiles(text, text + self._upstream_text(colour), tuple(others))

    @property
    def _pages(self) -> MonitorPages | None:
        """The pages that the monitor sends into the volume. nginx reaches neither the monitor nor the reports here."""
        monitor = self._settings.monitor
        if not has_pages(monitor):
            return None
        return MonitorPages(WEB, f"{CONF}/{PASSWORD_FILE}", monitor.password, is_public=monitor.public)

    def send_first(self, container: Container, files: ProxyFiles) -> None:
        """Send the files to a container before its first start."""
        entries = [*files.entries(name="nginx.conf"), ArchiveEntry("nginx.conf.loaded", files.whole.encode())]
        send(self._engine, container, CONF, entries, kind=ProxyError)

    @contextlib.contextmanager
    def replaced(self, container: Container, files: ProxyFiles, *, chosen: Colour) -> Iterator[None]:
        """Put the files in place after nginx accepts them. If the block raises, the previous files are put back."""
        before = fetch(self._engine, container, f"{CONF}/nginx.conf", kind=ProxyError)
        if self._settings.proxy.switch == "flag":
            self._flags.point_at(chosen)
        send(self._engine, container, CONF, files.entries(name=DRAFT), kind=ProxyError)
        try:
            self.test(container, f"{CONF}/{DRAFT}", text=files.text)
            self._as_root(container, f"mv {CONF}/{DRAFT} {CONF}/nginx.conf")
            yield
        except BaseException:
            if before:
                send(self._engine, container, CONF, [ArchiveEntry("nginx.conf", before)], kind=ProxyError)
                self.keep_certificate_of(container, before.decode(errors="replace"))
            raise
        self.keep_certificate_of(container, files.text)

    def keep_certificate_of(self, container: Container, text: str) -> None:
        """Remove all certificates and keys except those that the configuration names."""
        named = CERTIFICATE.search(text)
        kept = named[0] if named else "none"
        self._as_root(container, f"cd {CONF} && for f in tls-*; do case $f in {kept}.*) ;; *) rm -f $f ;; esac; done")

    def send_upstream(self, container: Container, colour: Colour) -> None:
        send(self._engine, container, CONF, self.upstream_files(colour), kind=ProxyError)

    def upstream_files(self, colour: Colour) -> list[ArchiveEntry]:
        if self._settings.proxy.switch == "flag":
            return []
        texts = {each: render_upstream(self._settings.proxy, each, address=self._upstreams()[each]) for each in Colour}
        templates = [ArchiveEntry(f"upstream.{each}.template", text.encode()) for each, text in texts.items()]
        return [*templates, ArchiveEntry("upstream.conf", texts[colour].encode())]

    def require_accepted(self, container: Container, files: ProxyFiles) -> None:
        """Raise UsageError if nginx in the running container refuses the files. They do not stay."""
        send(self._engine, container, CONF, files.entries(name=TESTED), kind=ProxyError)
        try:
            self.test(container, f"{CONF}/{TESTED}", text=files.text)
        except ProxyError as error:
            raise UsageError(error.message, remedy="correct it; nothing was changed") from error
        finally:
            self._as_root(container, f"rm -f {CONF}/{TESTED}")

    def keep_files(self, container: Container, colour: Colour, files: Mapping[str, Path]) -> None:
        """Replace the files that the proxy serves while the slot is active, by one symbolic link."""
        name = set_name(colour)
        paths = sorted(path.lstrip("/") for path in files)
        folders = {str(folder) for path in paths for folder in PurePosixPath(f"{name}/{path}").parents} - {"."}
        entries = [ArchiveEntry(f"assets/{folder}", mode=0o755) for folder in ("", *sorted(folders | {name}))]
        size = 0
        for path, source in files.items():
            entries.append(ArchiveEntry(f"assets/{name}/{path.lstrip('/')}", source.read_bytes()))
            size += source.stat().st_size
            if size > LARGEST_ARCHIVE:
                send(self._engine, container, ROOT, entries, kind=ProxyError)
                entries, size = [], 0
        send(self._engine, container, ROOT, entries, kind=ProxyError)
        send(self._engine, container, ASSETS, [ArchiveEntry(str(colour), link=name)], kind=ProxyError)
        others = f"{SETS}/{colour}-*"
        self._as_root(
            container,
            f'cd {ASSETS} && for f in {others}; do [ "$f" = {name} ] || rm -rf "$f"; done',
        )

    def test(self, container: Container, path: str, *, text: str) -> None:
        """Raise ProxyError, with nginx's own message, if nginx refuses the configuration with this text."""
        command = ["nginx", "-e", "stderr", "-t", "-c", path]
        status, output = run_in(self._engine, container, command, what="testing nginx's configuration", kind=ProxyError)
        if status != 0:
            shown = " | ".join(output.decode(errors="replace").strip().splitlines()[-3:])
            raise ProxyError(
                f"nginx refuses the configuration: {explain(shown, text)}",
                remedy="correct [proxy] in the settings; nginx still runs the previous one",
            )

    def loaded(self, container: Container) -> str:
        """Return the configuration that the running nginx has loaded, empty while that is unknown."""
        return (self._flags.read(container, f"{CONF}/nginx.conf.loaded") or b"").decode(errors="replace")

    def refusal(self, container: Container, written: str) -> str:
        """Return nginx's message if it refuses the configuration in place, whose text is `written`; else ''."""
        try:
            self.test(container, f"{CONF}/nginx.conf", text=written)
        except ProxyError as error:
            return error.message
        return ""

    def written(self, container: Container) -> str:
        """Return the configuration that is in place, with its upstream. Empty without one."""
        text = (fetch(self._engine, container, f"{CONF}/nginx.conf", kind=ProxyError) or b"").decode(errors="replace")
        if not text or is_switched_by_flag(text):
            return text
        return text + (fetch(self._engine, container, f"{CONF}/upstream.conf") or b"").decode(errors="replace")

    def note_loaded(self, container: Container, text: str) -> None:
        send(self._engine, container, CONF, [ArchiveEntry("nginx.conf.loaded", text.encode())], kind=ProxyError)

    def forget_loaded(self, container: Container) -> None:
        self._as_root(container, f"rm -f {CONF}/nginx.conf.loaded")

    def is_switched_by_flag(self, loaded: str) -> bool:
        return is_switched_by_flag(loaded) if loaded else self._settings.proxy.switch == "flag"

    def runs_by_flag(self, container: Container | None) -> bool:
        return container is None or self.is_switched_by_flag(self.loaded(container))

    def chosen(self, container: Container | None) -> Colour:
        if container is None:
            return Colour.BLUE
        loaded = self.loaded(container)
        if self.is_switched_by_flag(loaded):
            return flag_files.active_colour(self._flags)
        text = loaded or (fetch(self._engine, container, f"{CONF}/upstream.conf") or b"").decode(errors="replace")
        return named_active(text)

    def open_files(self) -> int:
        """Return the hard limit of open files in the running container."""
        _, limit = self._flags.run("ulimit -Hn")
        return int(limit) if limit.strip().isdigit() else MOST_FILES

    def path_key(self, container: Container | None) -> str:
        """Return the key in the paths to the slots. That of the proxy is kept: a new state folder needs no reload."""
        loaded = self.loaded(container) if container is not None else ""
        return key_in(loaded) or key_of(self._settings.state / "docker")

    def _upstreams(self) -> dict[Colour, Address]:
        return {colour: Address(self._network.address_of(colour), self._settings.docker.port) for colour in Colour}

    def _upstream_text(self, colour: Colour) -> str:
        if self._settings.proxy.switch == "flag":
            return ""
        return render_upstream(self._settings.proxy, colour, address=self._upstreams()[colour])

    def _as_root(self, container: Container, line: str) -> None:
        """Run a line as uid 0 without capabilities: the owner of the configuration's folder."""
        what = "changing nginx's configuration"
        status, output = run_in(self._engine, container, ["sh", "-c", line], what=what, user="0", kind=ProxyError)
        if status != 0:
            raise ProxyError(
                f"nginx's configuration cannot be changed: {output.decode(errors='replace').strip()[:300]}",
                remedy="see what the proxy logged: cakravia logs proxy",
            )
