"""Companions on the embedded platform: processes of their own sessions, with a record and a log file for each."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import psutil

from cakravia_verify.errors import PlatformError
from cakravia_verify.platforms.companions import Companion
from cakravia_verify.platforms.process.slot_end import end_in_grace, kill_group
from cakravia_verify.platforms.process.slot_processes import (
    group_of,
    last_bytes,
    processes_of_session,
    processes_with_environment,
)
from cakravia_verify.platforms.process.slot_start import is_gone, start_process, watch_memory
from cakravia_verify.settings.companions import CompanionSettings
from cakravia_verify.settings.models import SlotSettings
from cakravia_verify.slots import Artifact
from cakravia_verify.system.clock import Deadline
from cakravia_verify.system.files import make_folder, read_json, write_atomically
from cakravia_verify.system.log_files import set_long_aside
from cakravia_verify.system.processes import identity_of, process_named

# The variable that names the folder of a companion: what a killed start left is found by it.
MARK: Final = "CAKRAVIA_COMPANION"
LOG_BYTES: Final = 1_000_000
KILL_SECONDS: Final = 5.0


@dataclass(frozen=True)
class CompanionStart:
    """What a companion is started with: its command, its folder and its environment."""

    argv: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str]


@dataclass(frozen=True)
class ProcessCompanions:
    """Companions with their records and logs in folders below `folder`. `start_of` says how one is started."""

    folder: Path
    limits: SlotSettings
    start_of: Callable[[CompanionSettings, Artifact], CompanionStart]

    def running(self) -> tuple[Companion, ...]:
        """Return the running companions. Raises PlatformError if the processes cannot be read."""
        try:
            names = sorted(each.name for each in self.folder.iterdir() if each.is_dir())
        except FileNotFoundError:
            return ()
        try:
            return tuple(found for name in names if (found := self._running(name)) is not None)
        except OSError as error:
            raise PlatformError(
                f"the companions cannot be observed: {error.strerror}", remedy="check this machine's limits: ulimit -n"
            ) from error

    def start(self, companion: CompanionSettings, artifact: Artifact, *, release: str, deadline: Deadline) -> Companion:
        name = companion.name
        self.stop(name, deadline=deadline)
        start = self.start_of(companion, artifact)
        place = self.folder / name
        log = place / "companion.log"
        try:
            make_folder(place)
            set_long_aside(log)
            of_release = {"DEPLOYMENT_RELEASE": release, MARK: str(place)}
            pid = start_process(
                start.argv, folder=start.folder, environment={**start.environment, **of_release}, log=log
            )
            started = Companion(name, artifact.version, artifact.digest, release, identity_of(psutil.Process(pid)))
            write_atomically(self._record(name), json.dumps({"folder": str(place), **asdict(started)}).encode())
            watch_memory(f"companion {name}", pid, limits=self.limits, log=log)
        except (OSError, psutil.NoSuchProcess) as error:
            raise PlatformError(f"{error}", remedy=f"check its command in [[companions]], and read {log}") from error
        return started

    def stop(self, name: str, *, deadline: Deadline) -> None:
        companion = self._running(name)
        first = process_named(companion.identity) if companion else None
        if first is not None or self._left(name, first):
            self._end(name, first, deadline=deadline)
        self._record(name).unlink(missing_ok=True)

    def logs(self, name: str, *, lines: int) -> str:
        content = last_bytes(self.folder / name / "companion.log", limit=LOG_BYTES)
        return "\n".join(content.decode(errors="replace").splitlines()[-lines:])

    def _end(self, name: str, first: psutil.Process | None, *, deadline: Deadline) -> None:
        if end_in_grace(first, lambda: self._left(name, first), grace=deadline, is_gone=is_gone):
            return
        rest = Deadline(f"companion {name} ends after SIGKILL", KILL_SECONDS, clock=deadline.clock)
        while not (first is None or is_gone(first)) or self._left(name, first):
            if rest.is_over:
                raise rest.exceeded("it still runs")
            if first is not None:
                kill_group(first, group=group_of(first))
            for process in self._left(name, first):
                with contextlib.suppress(psutil.Error):
                    process.kill()
            rest.clock.sleep(0.02)

    def _left(self, name: str, first: psutil.Process | None) -> set[psutil.Process]:
        """Return the running processes of the companion without its first one, and without us."""
        spared = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
        found = {process for process, _ in self._marked(name)}
        if first is not None:
            spared.add(first.pid)
            found.update(processes_of_session(first.pid))
        return {process for process in found if process.pid not in spared}

    def _running(self, name: str) -> Companion | None:
        recorded = self._recorded(name)
        if recorded is not None and process_named(recorded.identity) is not None:
            return recorded
        return self._found(name, but_release=recorded.release if recorded else None)

    def _recorded(self, name: str) -> Companion | None:
        try:
            row = read_json(self._record(name))
            if row["folder"] != str(self.folder / name):  # a copied site has the records of the original
                return None
            return Companion(**{key: str(row[key]) for key in Companion.__dataclass_fields__})
        except (OSError, ValueError, KeyError, TypeError, OverflowError):
            return None

    def _found(self, name: str, *, but_release: str | None) -> Companion | None:
        """Return a companion without a record: its release was killed right after the start.

        Only the first process of a companion leads its session. Those of `but_release` are children of one that ended.
        """
        for process, environment in self._marked(name):
            with contextlib.suppress(psutil.Error, ProcessLookupError, KeyError):
                release = environment["DEPLOYMENT_RELEASE"]
                if os.getsid(process.pid) != process.pid or release == but_release:
                    continue
                version, digest = environment["APP_VERSION"], environment["CAKRAVIA_DIGEST"]
                return Companion(name, version, digest, release, identity_of(process))
        return None

    def _marked(self, name: str) -> Iterator[tuple[psutil.Process, dict[str, str]]]:
        return processes_with_environment({MARK: str(self.folder / name)})

    def _record(self, name: str) -> Path:
        return self.folder / name / "companion.json"
