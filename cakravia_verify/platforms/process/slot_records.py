"""The process in each slot: from the record beside its logs, or from the environment of the process."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from cakravia_verify.platforms.process.slot_processes import processes_of_session, processes_with_environment
from cakravia_verify.slots import Address, Colour, Role, Slot
from cakravia_verify.system.clock import Deadline
from cakravia_verify.system.files import read_json, write_atomically
from cakravia_verify.system.processes import identity_of, process_named


@dataclass(frozen=True)
class SlotRecords:
    """Records in the folders `blue` and `green` below `folder`.

    A record names its folder and is valid only there. A copied site has the records of the original, but not its
    processes.
    """

    folder: Path

    def place(self, colour: Colour) -> Path:
        return self.folder / str(colour)

    def request_log(self, colour: Colour) -> Path:
        return self.place(colour) / "requests.log"

    def role_file(self, colour: Colour) -> Path:
        return self.place(colour) / "role"

    def set_role(self, colour: Colour, role: Role) -> None:
        """Write the role file of the slot, unless it says so already."""
        file = self.role_file(colour)
        if not file.exists() or file.read_bytes() != role.line:
            write_atomically(file, role.line, mode=0o644)

    def put(self, slot: Slot) -> None:
        row = {
            "folder": str(self.place(slot.colour)),
            "version": slot.version,
            "digest": slot.digest,
            "release": slot.release,
            "identity": slot.identity,
            "host": slot.address.host,
            "port": slot.address.port,
            "started_at": slot.started_at,
        }
        write_atomically(self._record(slot.colour), json.dumps(row).encode())

    def forget(self, colour: Colour) -> None:
        self._record(colour).unlink(missing_ok=True)

    def running(self, colour: Colour) -> Slot | None:
        """Return the running slot, None if it is empty. Raises OSError if processes cannot be read."""
        slot = self._recorded(colour)
        if slot is not None and process_named(slot.identity) is not None:
            return slot
        return self._found(colour, but_release=slot.release if slot else "")

    def left(self, colour: Colour, *, first: psutil.Process | None) -> set[psutil.Process]:
        """Return the running processes that were started in the slot, or by its `first` process, without the first.

        This process, its group and its parents are left out, even if the slot started them.
        """
        spared = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
        found = {process for process, _ in self._started_in(colour)}
        if first is not None:
            spared.add(first.pid)
            found.update(processes_of_session(first.pid))
        return {process for process in found if process.pid not in spared and _is_apart(process)}

    def end_the_rest(self, colour: Colour, *, deadline: Deadline) -> bool:
        """Kill all processes that a slot's process left behind. Returns whether there was one.

        Raises DeadlineExceeded.
        """
        did = False
        while rest := self.left(colour, first=None):
            if did and deadline.is_over:
                raise deadline.exceeded(f"process {next(iter(rest)).pid} still runs")
            did = True
            for process in rest:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            deadline.clock.sleep(0.01)
        return did

    def _record(self, colour: Colour) -> Path:
        return self.place(colour) / "slot.json"

    def _recorded(self, colour: Colour) -> Slot | None:
        try:
            row = read_json(self._record(colour))
            if row["folder"] != str(self.place(colour)):
                return None
            return Slot(
                colour=colour,
                version=row["version"],
                digest=row["digest"],
                release=row["release"],
                address=Address(str(row["host"]), int(row["port"])),
                identity=str(row["identity"]),
                started_at=row["started_at"],
            )
        except (OSError, ValueError, KeyError, TypeError, OverflowError):
            return None

    def _found(self, colour: Colour, *, but_release: str) -> Slot | None:
        """Find a slot without a record by the environment of its process.

        Every slot's process leads its own session; its children do not. Processes of `but_release` are ignored: the
        slot's process of that release has ended, so the others are its children.
        """
        for process, environment in self._started_in(colour):
            try:
                if os.getsid(process.pid) != process.pid or environment["DEPLOYMENT_RELEASE"] == but_release:
                    continue
                slot = Slot(
                    colour=colour,
                    version=environment["APP_VERSION"],
                    digest=environment["CAKRAVIA_DIGEST"],
                    release=environment["DEPLOYMENT_RELEASE"],
                    address=Address(environment["HOST"], int(environment["PORT"])),
                    identity=identity_of(process),
                    started_at=process.create_time(),
                )
            except (psutil.Error, ProcessLookupError, KeyError, ValueError):
                continue
            with contextlib.suppress(OSError):
                self.put(slot)
            return slot
        return None

    def _started_in(self, colour: Colour) -> Iterator[tuple[psutil.Process, dict[str, str]]]:
        """Yield every process that was started in the slot, oldest first, with its environment."""
        return processes_with_environment(
            {"DEPLOYMENT_SLOT": str(colour), "REQUEST_LOG": str(self.request_log(colour))}
        )


def _is_apart(process: psutil.Process) -> bool:
    with contextlib.suppress(ProcessLookupError):
        return os.getpgid(process.pid) != os.getpgrp()
    return False
