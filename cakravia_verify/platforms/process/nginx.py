"""nginx as an unprivileged daemon of this machine, with all its files in one folder."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

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
from cakravia_verify.proxy.kept_files import replace_files
from cakravia_verify.proxy.monitor_pages import MonitorPages
from cakravia_verify.proxy.nginx.render import worker_limits
from cakravia_verify.proxy.nginx.site_facts import PLAIN_SITE, SiteFacts
from cakravia_verify.proxy.pins import put_pin, remove_pin, spans_of
from cakravia_verify.proxy.protocol import Admission, ConfigurationState, ProxyState, ProxyUsage, Switchover
from cakravia_verify.proxy.slot_paths import key_of, passing_header, slot_path
from cakravia_verify.proxy.stand_ins import DAY, count_in, count_since
from cakravia_verify.settings.proxy import ProxySettings
from cakravia_verify.slots import Address, Colour
from cakravia_verify.system.clock import SYSTEM_CLOCK, Clock, Deadline, poll
from cakravia_verify.system.http_exchange import HttpRequest, ProtocolError, exchange
from cakravia_verify.system.log_files import empty_long, set_long_aside
from cakravia_verify.system.ports import require_free_port


class LocalNginx:
    """The proxy of the process platform. It outlives the process that starts it."""

    def __init__(
        self,
        settings: ProxySettings,
        *,
        folder: Path,
        upstreams: dict[Colour, Address],
        facts: SiteFacts = PLAIN_SITE,
        pages: MonitorPages | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._clock = clock
        self._program = NginxProgram(settings.nginx, folder)
        self._family = NginxFamily(folder, folder / "nginx.pid")
        self._configuration = NginxConfiguration(
            settings, folder, upstreams, self._program, clock, facts, open_files=self._family.open_files, pages=pages
        )

    @property
    def address(self) -> Address:
        return self._settings.address

    @property
    def tls_address(self) -> Address | None:
        return self._settings.tls_address

    @property
    def access_log(self) -> Path:
        return self._configuration.access_log

    def fetch_logs(self) -> None:
        """Do nothing: nginx's log is a local file."""

    def bound_logs(self) -> None:
        for log in (self.access_log, self._configuration.stand_ins):
            empty_long(log)
        aside = [set_long_aside(log) for log in (self._configuration.everyday_log, self._program.error_log)]
        if any(aside) and (master := self._family.master()) is not None:
            with contextlib.suppress(psutil.Error):
                master.send_signal(signal.SIGUSR1)

    def logs(self, *, lines: int) -> str:
        with contextlib.suppress(FileNotFoundError):
            return "\n".join(self._program.error_log.read_text(errors="replace").splitlines()[-lines:])
        return ""

    def path_to(self, colour: Colour) -> str:
        return slot_path(key_of(self._folder), colour)

    @property
    def passing_header(self) -> dict[str, str]:
        return passing_header(self._folder)

    @property
    def binary(self) -> Path:
        return self._program.binary

    @property
    def version(self) -> tuple[int, ...]:
        return self._program.version

    def check(self) -> None:
        self._refuse_odd_folder()
        _ = self.version
        self._require_usable_certificate()
        self._refuse_taken_ports()
        if self._settings.snippets.given:
            self._configuration.test()

    def _refuse_taken_ports(self) -> None:
        """Raise UsageError, with address and process, if nginx cannot listen where the settings want it."""
        held = self._family.listens()
        for key, wanted in self._settings.addresses:
            if held is None or held & _resolved(wanted):
                continue
            try:
                require_free_port(wanted, what=f"[proxy] {key}")
            except UsageError as error:
                if wanted.port not in {address.port for address in held}:
                    raise
                raise UsageError(
                    f"[proxy] {key}: a running nginx cannot change to {wanted}, because it already uses the port",
                    remedy="restore the address, or restart the site: cakravia down, then cakravia up; "
                    "nothing was changed",
                ) from error

    def _require_usable_certificate(self) -> None:
        certificate = read_certificate(self._settings)
        if certificate is None:
            return
        from cakravia_verify.proxy.certificate_checks import require_usable  # slow to import

        now = datetime.fromtimestamp(self._clock.wall(), UTC)
        require_usable(certificate, loaded=self._configuration.loaded, now=now)

    def _refuse_odd_folder(self) -> None:
        if re.search(r"""["'$;{}\s\\]""", str(self._folder)):
            raise UsageError(
                f"nginx cannot use the state folder {str(self._folder)!r} because of a character in its path",
                remedy="set [site] state to a folder without spaces, quotes, '$', ';', braces and backslashes",
            )

    def observe(self) -> ProxyState:
        master = self._family.master()
        workers = workers_of(master) if master else [orphan.pid for orphan in self._family.orphans()]
        return ProxyState(
            is_running=master is not None or bool(workers),
            chosen=self._configuration.chosen(),
            has_failover=self._configuration.has_failover,
            generation=",".join(str(pid) for pid in workers),
            has_master=master is not None,
            admission=flag_files.admission_of(self._configuration.flags),
        )

    def usage(self) -> ProxyUsage | None:
        open_files = self._family.fullest_worker()
        if open_files is None:
            return None
        limit = worker_limits(self._settings, open_files=self._family.open_files()).connections
        with contextlib.suppress(OSError), self._configuration.stand_ins.open("rb") as log:
            return ProxyUsage(open_files, limit, count_in(log), count_since(log, self._clock.wall() - DAY))
        return ProxyUsage(open_files, limit)

    def configuration_state(self) -> ConfigurationState:
        return self._configuration.state()

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
        # The orphans have closed the ports now. A foreign process may have taken one.
        for key, wanted in self._settings.addresses:
            require_free_port(wanted, what=f"[proxy] {key}")
        started = self._program.run()
        if started.returncode != 0:
            raise ProxyError(
                f"nginx does not start: {last_lines(started.stderr)}", remedy=f"read its log: {self._program.error_log}"
            )
        poll(self._is_ready, deadline=deadline, every=0.01, observed=lambda: "it has too few worker processes")
        self._note_loaded()
        return Switchover.timed(colour, decided=decided, effective=self._clock.monotonic())

    def refresh(self, *, deadline: Deadline) -> bool:
        is_changed = self._configuration.loaded != self._configuration.wanted()
        master = self._family.master()
        if master is None:
            if not self._family.orphans():
                raise ProxyError("nginx is not running", remedy="start it: cakravia up")
            self.start(self._configuration.chosen(), deadline=deadline)
            return is_changed
        if not is_changed and self._configuration.is_whole and self._configuration.is_untouched:
            return False
        if self._configuration.loaded:
            self._require_usable_certificate()
        self._refuse_taken_ports()
        chosen = self._answering_slot() if self._configuration.is_choice_lost else None
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
        # switch = "reload" has no failover. A flag that stayed would be effective after a change to "flag".
        is_possible = self._settings.switch == "flag" and self._settings.failover
        flag_files.set_failover(self._configuration.flags, allowed=allowed and is_possible)

    def set_admission(self, admission: Admission) -> None:
        flag_files.set_admission(self._configuration.flags, admission)

    def pin(self, colour: Colour, version: str) -> None:
        skew = self._settings.skew
        if skew.is_on:
            spans = spans_of(skew, now=self._clock.wall())
            put_pin(self._configuration.flags.folder, colour, version, spans)

    def unpin(self, colour: Colour) -> None:
        remove_pin(self._configuration.flags.folder, colour)

    def keep_files(self, colour: Colour, files: Mapping[str, Path]) -> None:
        replace_files(self._configuration.assets, colour, files)

    def test(self) -> None:
        self._configuration.test()

    def changes(self) -> tuple[str, ...]:
        return self._configuration.changes()

    def stop(self, *, deadline: Deadline) -> None:
        """Stop all nginx processes. Requests in flight may finish until the deadline; then SIGKILL ends the rest.

        Raises ProxyError if a process does not end.
        """
        family, master = self._family.everyone(), self._family.master()
        for process in family:
            if process == master or not is_child(process, master):
                send(process, signal.SIGQUIT)
        if has_all_ended(family, deadline) and not (family := self._family.everyone()):
            return
        kill_deadline = Deadline("nginx ends after SIGKILL", 2.0, clock=deadline.clock)
        while family:
            for process in family:
                send(process, signal.SIGKILL)
            if not has_all_ended(family, kill_deadline):
                raise ProxyError(
                    f"nginx's process {family[0].pid} does not end after SIGKILL",
                    remedy=f"see what it waits for: ps -o pid,stat,wchan:30 -p {family[0].pid}",
                )
            family = self._family.everyone()

    def _note_loaded(self) -> None:
        self._configuration.note_loaded()
        if not self._configuration.runs_by_flag:
            flag_files.set_failover(self._configuration.flags, allowed=False)

    def _answering_slot(self) -> Colour | None:
        """Return the slot that answers a request through the proxy, None if no slot answers."""
        asked = HttpRequest("GET", self.address, "/", {"Host": str(self.address), "Connection": "close"})
        with contextlib.suppress(OSError, ProtocolError, ValueError):
            return Colour(exchange(asked, 2.0).headers.get("X-Served-Slot", ""))
        return None

    def _reload(self, deadline: Deadline) -> None:
        configuration = self._program.configuration
        self._program.require_accepted(configuration, remedy=f"read {configuration}; nginx still runs the previous one")
        master = self._family.master()
        if master is None:
            raise ProxyError("nginx is not running", remedy="start it: cakravia up")
        before = set(workers_of(master))
        log_size = self._program.error_log.stat().st_size if self._program.error_log.exists() else 0
        # A crash between here and the new workers leaves it unknown which configuration runs.
        self._configuration.forget_loaded()
        master.send_signal(signal.SIGHUP)

        grace = Deadline("old workers stop accepting", min(HUNG_SECONDS, deadline.remaining / 2), clock=deadline.clock)

        def has_new_generation() -> bool:
            return len(set(workers_of(master)) - before) >= self._settings.workers

        def is_replaced() -> bool:
            accepting = [pid for pid in before if takes_requests(pid)]
            if accepting and grace.is_over and has_new_generation():
                end_hung(accepting, clock=deadline.clock)
                return True
            return has_new_generation() and not accepting

        poll(is_replaced, deadline=deadline, every=0.005, observed=lambda: self._reload_failure(master, since=log_size))
        self._note_loaded()

    def _reload_failure(self, master: psutil.Process, *, since: int) -> str:
        with contextlib.suppress(psutil.Error, OSError):
            if master.status() == psutil.STATUS_STOPPED:
                return f"its master process {master.pid} is stopped and ignores signals; end it with cakravia down"
            logged = self._program.error_log.read_bytes()[since:].decode(errors="replace")
            return f"no new worker processes after the reload: {last_lines(logged) or 'nginx logged nothing'}"
        return "no new worker processes after the reload"

    def _retire_orphans(self, deadline: Deadline) -> None:
        """Make workers without a master close their ports. Their requests in flight finish.

        A worker that ignores the signal answers no requests either, and is killed.
        """
        orphans = self._family.orphans()
        for orphan in orphans:
            send(orphan, signal.SIGQUIT)
        grace = Deadline("orphans close their ports", min(HUNG_SECONDS, deadline.remaining / 2), clock=deadline.clock)
        while accepting := [orphan.pid for orphan in orphans if takes_requests(orphan.pid)]:
            if grace.is_over:
                end_hung(accepting, clock=deadline.clock)
                return
            grace.clock.sleep(0.002)

    def _is_ready(self) -> bool:
        master = self._family.master()
        return master is not None and len(workers_of(master)) >= self._settings.workers


def _resolved(address: Address) -> set[Address]:
    """Return the addresses that a host name resolves to."""
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except OSError:
        return {address}
    return {Address(str(each[4][0]), address.port) for each in found}
