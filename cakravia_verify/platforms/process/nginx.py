"""nginx as an unprivileged daemon of this machine, all its files under one folder."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
from pathlib import Path

import httpx
import psutil

from cakravia_verify.errors import ProxyError, UsageError
from cakravia_verify.platforms.process.nginx_configuration import NginxConfiguration
from cakravia_verify.platforms.process.nginx_processes import (
    HUNG_SECONDS,
    NginxFamily,
    end_hung,
    has_all_ended,
    is_child,
    send,
    takes_requests,
    workers_of,
)
from cakravia_verify.platforms.process.nginx_program import NginxProgram, last_lines
from cakravia_verify.proxy import flags as flag_files
from cakravia_verify.proxy.certificate import read_certificate
from cakravia_verify.proxy.protocol import ProxyState, Switchover
from cakravia_verify.settings.proxy import ProxySettings
from cakravia_verify.slots import Address, Colour
from cakravia_verify.system.clock import SYSTEM_CLOCK, Clock, Deadline, poll
from cakravia_verify.system.log_files import empty_long, set_long_aside
from cakravia_verify.system.ports import require_free_port


class LocalNginx:
    """The proxy of the embedded platform. It survives the process that starts it."""

    def __init__(
        self, settings: ProxySettings, *, folder: Path, upstreams: dict[Colour, Address], clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._clock = clock
        self._program = NginxProgram(settings.nginx, folder)
        self._configuration = NginxConfiguration(settings, folder, upstreams, self._program, clock)
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
        self._refuse_taken_ports()

    @property
    def _listens(self) -> dict[str, Address]:
        """Where users come in, by the key of the settings."""
        tls = self._settings.tls_address
        return {"listen": self.address} | ({"tls_listen": tls} if tls else {})

    def _refuse_taken_ports(self) -> None:
        """Where nginx is to listen and does not yet, it can. Raises UsageError, naming the address and who has it."""
        held = self._family.listens()
        for key, wanted in self._listens.items():
            if held is None or held & _meant(wanted):
                continue
            try:
                require_free_port(wanted, what=f"[proxy] {key}")
            except UsageError as error:
                if wanted.port not in {address.port for address in held}:
                    raise
                raise UsageError(
                    f"[proxy] {key}: nginx cannot go over to {wanted} on a port that it listens on",
                    remedy="put the address back, or run cakravia down, then cakravia up; users are unharmed",
                ) from error

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
            has_failover=self._configuration.has_failover,
            generation=",".join(str(pid) for pid in workers),
        )

    def start(self, colour: Colour, *, deadline: Deadline) -> Switchover:
        if self._family.master() is not None:
            self.refresh(deadline=deadline)
            return self.point_at(colour, deadline=deadline)
        self._refuse_odd_folder()
        self._refuse_taken_ports()
        self._configuration.make_folders()
        decided = self._clock.monotonic()
        self._configuration.write_choice(colour)
        self._configuration.write(self._configuration.rendered())
        self._retire_orphans(deadline)
        # From here until nginx runs nobody listens: who has what was looked at before.
        for key, wanted in self._listens.items():
            require_free_port(wanted, what=f"[proxy] {key}")
        started = self._program.run()
        if started.returncode != 0:
            raise ProxyError(
                f"nginx does not start: {last_lines(started.stderr)}", remedy=f"see {self._program.error_log}"
            )
        poll(self._is_ready, deadline=deadline, every=0.01, observed=lambda: "no worker process yet")
        self._taken_up()
        return Switchover.timed(colour, decided=decided, effective=self._clock.monotonic())

    def refresh(self, *, deadline: Deadline) -> bool:
        is_changed = self._configuration.loaded != self._configuration.wanted()
        master = self._family.master()
        if master is None:
            if not self._family.orphans():
                raise ProxyError("nginx is not running", remedy="cakravia up starts it")
            self.start(self._configuration.chosen(), deadline=deadline)
            return is_changed
        if not is_changed and self._configuration.is_whole:
            return False
        self._refuse_taken_ports()
        chosen = self._serving() if self._configuration.is_choice_lost else None
        with self._configuration.replaced(chosen=chosen or self._configuration.chosen()):
            self._reload(deadline)
        self._family.write_pid_file(master)
        return True

    def point_at(self, colour: Colour, *, deadline: Deadline) -> Switchover:
        if self._configuration.runs_by_flag:
            return self._configuration.flags.point_at(colour)
        decided = self._clock.monotonic()
        if self._family.master() is None:
            return self.start(colour, deadline=deadline)
        if not self._configuration.is_whole:
            self.refresh(deadline=deadline)
        before = self._configuration.chosen()
        if not self._configuration.loaded or before is not colour:
            self._configuration.write_upstream(colour)
            try:
                self._reload(deadline)
            except BaseException:
                self._configuration.write_upstream(before)
                raise
        return Switchover.timed(colour, decided=decided, effective=self._clock.monotonic())

    def set_failover(self, *, allowed: bool) -> None:
        # The classic switch knows no failover; a flag left then would come into force with the next change of the way.
        is_possible = self._settings.switch == "flag" and self._settings.failover
        flag_files.set_failover(self._configuration.flags, allowed=allowed and is_possible)

    def stop(self, *, deadline: Deadline) -> None:
        """No master and no worker is left. Requests in flight are finished first, up to the deadline; then whoever is
        left is killed, hung or not. Raises ProxyError where even that does not end one."""
        family, master = self._family.everyone(), self._family.master()
        for process in family:
            if process == master or not is_child(process, master):
                send(process, signal.SIGQUIT)
        if has_all_ended(family, deadline) and not (family := self._family.everyone()):
            return
        patience = Deadline("nginx ends after SIGKILL", 2.0, clock=deadline.clock)
        while family:
            for process in family:
                send(process, signal.SIGKILL)
            if not has_all_ended(family, patience):
                raise ProxyError(
                    f"nginx's process {family[0].pid} does not end, not even by SIGKILL",
                    remedy=f"see what it waits for: ps -o stat,wchan:30 -p {family[0].pid}",
                )
            family = self._family.everyone()

    # The rest is how.

    def _taken_up(self) -> None:
        self._configuration.note_loaded()
        if not self._configuration.runs_by_flag:
            flag_files.set_failover(self._configuration.flags, allowed=False)

    def _serving(self) -> Colour | None:
        """The slot that users get, as an answer to one tells; None where none does."""
        with contextlib.suppress(httpx.HTTPError, ValueError):
            answer = httpx.get(self.address.url, timeout=2.0, trust_env=False)
            return Colour(answer.headers.get("X-Served-Slot", ""))
        return None

    def _reload(self, deadline: Deadline) -> None:
        configuration = self._program.configuration
        self._program.require_accepted(configuration, remedy=f"see {configuration}; the running one is unchanged")
        master = self._family.master()
        if master is None:
            raise ProxyError("nginx is not running", remedy="cakravia up starts it")
        before = set(workers_of(master))
        said = self._program.error_log.stat().st_size if self._program.error_log.exists() else 0
        # From here until the new workers are seen, a crash leaves it open which configuration runs.
        self._configuration.forget_loaded()
        master.send_signal(signal.SIGHUP)

        patience = Deadline("they take no more", min(HUNG_SECONDS, deadline.remaining / 2), clock=deadline.clock)

        def has_new_generation() -> bool:
            return len(set(workers_of(master)) - before) >= self._settings.workers

        def renewed() -> bool:
            taking = [pid for pid in before if takes_requests(pid)]
            if taking and patience.is_over and has_new_generation():
                end_hung(taking, clock=deadline.clock)
                return True
            return has_new_generation() and not taking

        poll(renewed, deadline=deadline, every=0.005, observed=lambda: self._unwilling(master, since=said))
        self._taken_up()

    def _unwilling(self, master: psutil.Process, *, since: int) -> str:
        with contextlib.suppress(psutil.Error, OSError):
            if master.status() == psutil.STATUS_STOPPED:
                return f"its master process {master.pid} is stopped and takes no signal: cakravia down ends it"
            told = self._program.error_log.read_bytes()[since:].decode(errors="replace")
            return f"no new worker generation after the reload: {last_lines(told) or 'nginx says nothing'}"
        return "no new worker generation after the reload"

    def _retire_orphans(self, deadline: Deadline) -> None:
        """Workers without a master have let go of the port; the requests they hold are finished. One that does not hear
        is killed: it answers nobody."""
        orphans = self._family.orphans()
        for orphan in orphans:
            send(orphan, signal.SIGQUIT)
        patience = Deadline("they let go", min(HUNG_SECONDS, deadline.remaining / 2), clock=deadline.clock)
        while taking := [orphan.pid for orphan in orphans if takes_requests(orphan.pid)]:
            if patience.is_over:
                end_hung(taking, clock=deadline.clock)
                return
            patience.clock.sleep(0.002)

    def _is_ready(self) -> bool:
        master = self._family.master()
        return master is not None and len(workers_of(master)) >= self._settings.workers


def _meant(address: Address) -> set[Address]:
    """The addresses that a name stands for."""
    try:
        told = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except OSError:
        return {address}
    return {Address(str(each[4][0]), address.port) for each in told}
