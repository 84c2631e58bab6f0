"""The process platform: slots are loopback processes that outlive the process that starts them."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import psutil

from cakravia_verify.errors import MissingTool, PlatformError, UsageError
from cakravia_verify.platforms.commands import RELEASE_VARIABLE, VersionCommand
from cakravia_verify.platforms.process.build import BUILD_VARIABLES
from cakravia_verify.platforms.process.companions import CompanionStart, ProcessCompanions
from cakravia_verify.platforms.process.environments import KeptEnvironments, variables_of
from cakravia_verify.platforms.process.nginx_processes import NginxFamily
from cakravia_verify.platforms.process.proxy_connections import proxy_connections
from cakravia_verify.platforms.process.slot_end import end_in_grace, kill_group
from cakravia_verify.platforms.process.slot_processes import group_of, last_bytes
from cakravia_verify.platforms.process.slot_records import SlotRecords
from cakravia_verify.platforms.process.slot_start import is_gone, start_process, watch_memory
from cakravia_verify.platforms.process.versions import VersionStore
from cakravia_verify.settings.companions import CompanionSettings
from cakravia_verify.settings.models import Settings
from cakravia_verify.slots import Address, Artifact, Colour, Role, Slot
from cakravia_verify.system.clock import SYSTEM_CLOCK, Clock, Deadline, poll
from cakravia_verify.system.commands import ProcessCommand, end_told_processes
from cakravia_verify.system.files import make_folder
from cakravia_verify.system.log_files import empty_long, keep_long_twice, set_long_aside
from cakravia_verify.system.ports import await_free_port, require_free_port
from cakravia_verify.system.processes import identity_of, process_named
from cakravia_verify.system.resources import SlotUse, use_of

# Seconds. After the end of a slot, a process of its group may hold the port a little longer.
PORT_SECONDS: Final = 2.0


class ProcessPlatform:
    """Each slot is one process in its own session, with a memory limit, a log file and a record."""

    name = "process"

    def __init__(
        self, settings: Settings, *, environment: Mapping[str, str] = os.environ, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._settings = settings
        self._environment = environment
        self._clock = clock
        self._store = VersionStore(settings.state / "versions")
        self._records = SlotRecords(settings.state / "slots")
        self._kept = KeptEnvironments(settings.state / "slots", settings.state / "versions")
        self._nginx = NginxFamily(settings.state / "nginx", settings.state / "nginx" / "nginx.pid")
        self.companions = ProcessCompanions(settings.state / "companions", settings.slots, self._companion_start)
        self._remarks: list[str] = []
        self._new: dict[str, dict[str, str]] = {}

    def check(self) -> None:
        if not self._settings.app.command:
            raise UsageError(
                "[app] command is missing in cakravia.toml: nothing says how the application is started",
                remedy='write it, for example command = ["node", "server.js"] or command = ["{python}", "-m", "shop"]; '
                'for containers write [site] platform = "docker" and [docker] image',
            )
        program = self._command("0")[0]
        if not any(shutil.which(program, path=path) for path in (self._environment.get("PATH"), *self._kept.paths())):
            raise MissingTool(
                f"[app] command: {program!r} is not a program on this machine",
                remedy="correct [app] command, or install the program",
            )
        self._require_addresses()
        for colour in Colour:
            if self.observe(colour) is None:
                require_free_port(self._settings.slot_address(colour), what=f"[slots] {colour}")

    def notes(self) -> tuple[str, ...]:
        return ()

    def reconnect(self) -> tuple[str, ...]:
        self._require_addresses()
        return ()

    def _require_addresses(self) -> None:
        for colour in Colour:
            address, running = self._settings.slot_address(colour), self.observe(colour)
            if running is not None and running.address != address:
                raise UsageError(
                    f"[slots] {colour} is {address}, but {running} listens on {running.address} now",
                    remedy=f"set it back to {running.address}; change the address only while the slot is empty "
                    "(cakravia down)",
                )

    def prefetch(self, version: str, *, deadline: Deadline, told: Callable[[str], None] = lambda _: None) -> None:
        """Check that the source and every needed variable exist. The copy is fast and is made under the lock."""
        variables_of(self._settings, self._environment)
        source = self._settings.root / self._filled(self._settings.app.source, version)
        if not source.is_dir():
            raise UsageError(
                f"[app] source: {source} is not a folder", remedy="set it to the folder of the application"
            )

    def build(self, version: str, *, deadline: Deadline) -> Artifact:
        app = self._settings.app
        given = variables_of(self._settings, self._environment)
        artifact = self._store.add(
            version,
            self._settings.root / self._filled(app.source, version),
            build=[self._filled(part, version) for part in app.build],
            environment=self._build_environment(given, version),
            command=app.command,
            apart=(self._settings.state, self._settings.reports),
            is_named=os.path.normpath(app.directory).startswith(".."),
            deadline=deadline,
        )
        self._new[artifact.digest] = given
        return artifact

    @property
    def build_log(self) -> Path:
        return self._store.build_log

    def retained(self) -> tuple[Artifact, ...]:
        return self._store.retained()

    def verify(self, artifact: Artifact) -> None:
        self._store.verify(artifact, command=self._settings.app.command)

    def require_startable(self, artifact: Artifact) -> None:
        """Raise PlatformError or UsageError if the artifact's folder, program or a variable is missing."""
        app = self._settings.app
        try:
            folder = self._store.source_of(artifact) / app.directory
        except OSError:
            return  # `verify` reports an artifact that is gone
        if not folder.is_dir():
            raise PlatformError(
                f"[app] directory: version {artifact.version} has no folder {app.directory!r}",
                remedy="set [app] directory to the folder that this version has, roll back, then set it back",
            )
        program = self._filled(self._store.command_of(artifact, default=app.command)[0], artifact.version)
        is_file = os.access(folder / program, os.X_OK)
        path = self._given(artifact).get("PATH")
        if not is_file and not shutil.which(program, path=path):
            raise MissingTool(
                f"version {artifact.version} is started by {program!r}, which is no longer a program on this machine",
                remedy="install it again, or roll back to another version with --version",
            )

    def start(self, colour: Colour, artifact: Artifact, *, release: str, deadline: Deadline) -> Slot:
        self.verify(artifact)
        given = self._given(artifact)
        has_ended_one = self._end(colour, deadline=deadline)
        address = self._settings.slot_address(colour)
        patience = Deadline("the port is free", PORT_SECONDS if has_ended_one else 0, clock=deadline.clock)
        await_free_port(address, what=f"[slots] {colour}", deadline=patience)
        place = self._records.place(colour)
        template = self._store.command_of(artifact, default=self._settings.app.command)
        command = [self._filled(part, artifact.version) for part in template]
        try:
            working_directory = self._store.source_of(artifact) / self._settings.app.directory
            make_folder(place)
            self._kept.put(colour, artifact, given)
            self._new.pop(artifact.digest, None)
            set_long_aside(place / "app.log")
            if not self._records.role_file(colour).exists():
                self._records.set_role(colour, Role.INACTIVE)
            pid = start_process(
                command,
                folder=working_directory,
                environment=given
                | self._settings.app.environment
                | self._identity(colour, artifact, release=release, address=address),
                log=place / "app.log",
            )
            slot = self._recorded(colour, artifact, pid, release=release, address=address)
            watch_memory(str(colour), pid, limits=self._settings.slots, log=place / "app.log")
        except (OSError, psutil.NoSuchProcess) as error:
            raise PlatformError(
                f"{colour} does not start: {error}",
                remedy=f"check [app] command and directory, and read {place}/app.log",
            ) from error
        return slot

    def set_roles(self, active: Colour | None) -> None:
        for colour in Colour:
            self._records.set_role(colour, Role.of(colour, active))

    def run_command(self, artifact: Artifact, command: VersionCommand) -> ProcessCommand:
        argv = [self._filled(part, artifact.version) for part in command.argv]
        folder = self._store.source_of(artifact) / self._settings.app.directory
        environment = self._given(artifact) | self._settings.app.environment | self._version_environment(artifact)
        try:
            return ProcessCommand(
                argv, folder=folder, environment=environment | dict(command.environment), stdin=command.stdin
            )
        except OSError as error:
            raise PlatformError(
                f"{argv[0]!r} does not start: {error.strerror}", remedy="correct the command of that [[hooks]] table"
            ) from error

    def _companion_start(self, companion: CompanionSettings, artifact: Artifact) -> CompanionStart:
        self.verify(artifact)
        argv = tuple(self._filled(part, artifact.version) for part in companion.command)
        folder = self._store.source_of(artifact) / self._settings.app.directory
        environment = self._given(artifact) | self._settings.app.environment | self._version_environment(artifact)
        limit = {"MEMORY_LIMIT": str(self._settings.slots.memory_bytes)}
        return CompanionStart(argv, folder, environment | limit | companion.environment)

    def end_commands(self, release: str) -> None:
        end_told_processes({RELEASE_VARIABLE: release})

    def _recorded(self, colour: Colour, artifact: Artifact, pid: int, *, release: str, address: Address) -> Slot:
        slot = Slot(
            colour=colour,
            version=artifact.version,
            digest=artifact.digest,
            release=release,
            address=address,
            identity=identity_of(psutil.Process(pid)),
            started_at=self._clock.wall(),
        )
        self._records.put(slot)
        return slot

    def observe(self, colour: Colour) -> Slot | None:
        """Return the running slot, None if it is empty. Raises PlatformError if that cannot be observed."""
        try:
            return self._records.running(colour)
        except OSError as error:
            raise PlatformError(
                f"the processes of {colour} cannot be observed: {error.strerror}",
                remedy="check this machine's limits, such as: ulimit -n",
            ) from error

    def connections(self, colour: Colour) -> int:
        return proxy_connections(self._settings.upstream_address(colour).port, self._nginx.everyone())

    def stop(self, colour: Colour, *, deadline: Deadline) -> None:
        self._end(colour, deadline=deadline)

    def _end(self, colour: Colour, *, deadline: Deadline) -> bool:
        """Stop the slot and all processes that it started. Returns whether there was one."""
        slot = self.observe(colour)
        process = process_named(slot.identity) if slot else None
        had_children = bool(self._records.left(colour, first=process))
        if process is not None or had_children:
            self._end_processes(colour, process, deadline=deadline)
        rest = Deadline(f"the children of {colour} end after SIGKILL", 5.0, clock=deadline.clock)
        self._records.end_the_rest(colour, deadline=rest)
        self._records.forget(colour)
        return had_children or process is not None

    def _end_processes(self, colour: Colour, process: psutil.Process | None, *, deadline: Deadline) -> None:
        group = group_of(process) if process else 0
        seconds = min(self._settings.app.grace, deadline.remaining)
        are_gone = end_in_grace(
            process,
            lambda: self._records.left(colour, first=process),
            grace=Deadline(f"{colour} ends", seconds, clock=deadline.clock),
            is_gone=is_gone,
        )
        if are_gone or process is None:
            return
        self._remarks.append(f"{colour} did not end within {seconds:g} s of SIGTERM and was killed")
        kill_group(process, group=group)
        poll(
            lambda: is_gone(process),
            deadline=Deadline(f"{colour} ends after SIGKILL", 5.0, clock=deadline.clock),
            every=0.01,
            observed=lambda: f"process {process.pid} still runs",
        )

    def remarks(self) -> tuple[str, ...]:
        remarks, self._remarks = tuple(self._remarks), []
        return remarks

    def prune(self, *, keep: Collection[str], retain: int, promoted: Collection[str] = ()) -> tuple[Artifact, ...]:
        running = [slot for slot in map(self.observe, Colour) if slot]
        self._kept.keep(slot for slot in running if slot.digest in promoted)
        needed = {*keep, *(slot.digest for slot in running)}
        removed = self._store.prune(keep=needed, retain=retain, promoted=promoted)
        self._kept.forget(artifact.digest for artifact in removed)
        return removed

    def logs(self, colour: Colour, *, lines: int) -> str:
        content = last_bytes(self._records.place(colour) / "app.log", limit=1_000_000)
        return "\n".join(content.decode(errors="replace").splitlines()[-lines:])

    def file_names(self, colour: Colour, folder: str) -> tuple[str, ...]:
        slot = self.observe(colour)
        kept = [each for each in self.retained() if slot is not None and each.digest == slot.digest]
        if not kept or folder.startswith("/"):
            return ()
        below = self._store.source_of(kept[0]) / self._settings.app.directory / folder
        return tuple(str(path.relative_to(below)) for path in sorted(below.rglob("*")) if path.is_file())

    def write_failures(self, colour: Colour) -> tuple[str, ...]:
        return ()

    def use(self, colour: Colour) -> SlotUse | None:
        slot = self.observe(colour)
        process = process_named(slot.identity) if slot else None
        return use_of(process) if process else None

    def request_log(self, colour: Colour) -> Path | None:
        return self._records.request_log(colour)

    def fetch_logs(self) -> None:
        """Do nothing: the applications' logs are local files."""

    def bound_logs(self) -> None:
        for colour in Colour:
            empty_long(self._records.request_log(colour))
            keep_long_twice(self._records.place(colour) / "app.log")

    def _filled(self, text: str, version: str) -> str:
        return text.replace("{version}", version).replace("{python}", sys.executable)

    def _command(self, version: str) -> list[str]:
        return [self._filled(part, version) for part in self._settings.app.command]

    def _build_environment(self, given: Mapping[str, str], version: str) -> dict[str, str]:
        own = {name: self._environment[name] for name in BUILD_VARIABLES if name in self._environment}
        return own | dict(given) | self._settings.app.environment | {"APP_VERSION": version}

    def _given(self, artifact: Artifact) -> dict[str, str]:
        """Return what the artifact's slots are given: of this release, else what is kept, else of this shell.

        Raises UsageError if nothing is kept and this shell lacks a variable.
        """
        given = self._new.get(artifact.digest)
        if given is None:
            given = self._kept.find(artifact)
        return variables_of(self._settings, self._environment) if given is None else given

    def _identity(self, colour: Colour, artifact: Artifact, *, release: str, address: Address) -> dict[str, str]:
        """Return the variables that give the slot its address and its identity."""
        return self._version_environment(artifact) | {
            "HOST": address.host,
            "PORT": str(address.port),
            "DEPLOYMENT_SLOT": str(colour),
            "DEPLOYMENT_RELEASE": release,
            "DEPLOYMENT_TIMESTAMP": datetime.fromtimestamp(self._clock.wall(), UTC).isoformat(timespec="seconds"),
            "DEPLOYMENT_ROLE_FILE": str(self._records.role_file(colour)),
            "REQUEST_LOG": str(self.request_log(colour)),
            "MEMORY_LIMIT": str(self._settings.slots.memory_bytes),
        }

    def _version_environment(self, artifact: Artifact) -> dict[str, str]:
        data = self._settings.state / "data"
        make_folder(data)
        return {"APP_VERSION": artifact.version, "DATA_DIR": str(data), "CAKRAVIA_DIGEST": artifact.digest}
