"""nginx as an unprivileged daemon of this machine, all its files under one folder."""

from __future__ import annotations

import contextlib
import re
import signal
from collections.abc import Sequence
from pathlib import Path

import psutil

from cakravia_verify.deadline import SYSTEM_CLOCK, Clock, Deadline, poll
from cakravia_verify.errors import ProxyError, UsageError
from cakravia_verify.log_cuts import empty_long, set_long_aside
from cakravia_verify.ports import require_free_port
from cakravia_verify.proxy import flags as flag_files
from cakravia_verify.proxy.certificate import read_certificate
from cakravia_verify.proxy.nginx_configuration import NginxConfiguration
from cakravia_verify.proxy.nginx_processes import NginxFamily, is_alive, takes_requests, workers_of
from cakravia_verify.proxy.nginx_program import NginxProgram, last_lines
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
        self._clock = clock
        self._program = NginxProgram(settings.nginx, folder)
        self._configuration = NginxConfiguration(settings, folder, upstreams, self._program)
        self._family = NginxFamily(folder, folder / "nginx.pid")

    @property
    def address(self) -> Address:
        return self._settings.address

    @property
    def access_log(self) -> Path:
        return self._configuration.access_log

    def fetch_logs(self) -> None:
        """Nothing: nginx writes on this machine."""

    def bound_logs(self) -> None:
        empty_long(self.access_log)
        aside = [set_long_aside(log) for log in (self._configuration.everyday_log, self._program.error_log)]
        if any(aside) and (master := self._family.master()) is not None:
            with contextlib.suppress(psutil.Error):
                master.send_signal(signal.SIGUSR1)

    def logs(self, *, lines: int) -> str:
        with contextlib.suppress(FileNotFoundError):
            return "\n".join(self._program.error_log.read_text(errors="replace").splitlines()[-lines:])
        return ""

    @property
    def binary(self) -> Path:
        return self._program.binary

    @property
    def version(self) -> tuple[int, ...]:
        return self._program.version

    def check(self) -> None:
        self._refuse_odd_folder()
        _ = self.version
        read_certificate(self._settings)
        if not self.observe().is_running:
            self._require_free_ports()

    def _require_free_ports(self) -> None:
        require_free_port(self.address, what="[proxy] listen")
        if self._settings.tls_address is not None:
            require_free_port(self._settings.tls_address, what="[proxy] tls_listen")

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
            chosen=self._configuration.chosen(),
            has_failover=self._configuration.flags.has(flag_files.FAILOVER),
            generation=",".join(str(pid) for pid in workers),
        )

    def start(self, colour: Colour, *, deadline: Deadline) -> Flip:
        if self._family.master() is not None:
            self.refresh(deadline=deadline)
            return self.point_at(colour, deadline=deadline)
        self._refuse_odd_folder()
        self._configuration.make_folders()
        decided = self._clock.monotonic()
        self._configuration.write_choice(colour)
        self._configuration.write(self._configuration.rendered())
        self._retire_orphans(deadline)
        self._require_free_ports()
        started = self._program.run()
        if started.returncode != 0:
            raise ProxyError(
                f"nginx does not start: {last_lines(started.stderr)}", remedy=f"see {self._program.error_log}"
            )
        poll(self._is_ready, deadline=deadline, every=0.01, seen=lambda: "no worker process yet")
        self._configuration.note_loaded()
        return Flip(colour, decided, self._clock.monotonic())

    def refresh(self, *, deadline: Deadline) -> bool:
        if self._family.master() is None:
            if not self._family.orphans():
                raise ProxyError("nginx is not running", remedy="cakravia up starts it")
            self.start(self._configuration.chosen(), deadline=deadline)
            return True
        if self._configuration.loaded == self._configuration.wanted():
            return False
        with self._configuration.replaced():
            self._reload(deadline)
        return True

    def point_at(self, colour: Colour, *, deadline: Deadline) -> Flip:
        if self._configuration.runs_by_flag:
            wanted = colour is Colour.GREEN
            moved = self._configuration.flags.move(flag_files.GREEN_ACTIVE, wanted=wanted, clock=self._clock)
            return Flip(colour, *moved)
        decided = self._clock.monotonic()
        if self._family.master() is None:
            return self.start(colour, deadline=deadline)
        before = self._configuration.chosen()
        if not self._configuration.loaded or before is not colour:
            self._configuration.write_upstream(colour)
            try:
                self._reload(deadline)
            except BaseException:
                self._configuration.write_upstream(before)
                raise
        return Flip(colour, decided, self._clock.monotonic())

    def set_failover(self, *, allowed: bool) -> None:
        if self._settings.switch == "flag":
            flag_files.set_failover(self._configuration.flags, allowed=allowed and self._settings.failover)

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

    def _reload(self, deadline: Deadline) -> None:
        configuration = self._program.configuration
        self._program.require_accepted(configuration, remedy=f"see {configuration}; the running one is unchanged")
        master = self._family.master()
        if master is None:
            raise ProxyError("nginx is not running", remedy="cakravia up starts it")
        before = set(workers_of(master))
        # From here until the new workers are seen, a crash leaves it open which configuration runs.
        self._configuration.forget_loaded()
        master.send_signal(signal.SIGHUP)

        def renewed() -> bool:
            new = set(workers_of(master)) - before
            return len(new) >= self._settings.workers and not any(takes_requests(pid) for pid in before)

        poll(renewed, deadline=deadline, every=0.005, seen=lambda: "no new worker generation after the reload")
        self._configuration.note_loaded()

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


def _ended(processes: Sequence[psutil.Process], deadline: Deadline) -> bool:
    """Whether all of them ended in time. A zombie has ended, even where nobody collects it."""
    while any(is_alive(process) for process in processes):
        if deadline.is_over:
            return False
        deadline.clock.sleep(0.01)
    return True
