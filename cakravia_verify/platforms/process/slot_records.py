"""What a site knows of the process in each slot: by the record beside its logs, or by what the process was told."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from cakravia_verify.platforms.process.slot_processes import told_processes
from cakravia_verify.slots import Address, Colour, Slot
from cakravia_verify.system.clock import Deadline
from cakravia_verify.system.files import write_atomically
from cakravia_verify.system.processes import identity_of, process_named


@dataclass(frozen=True)
class SlotRecords:
    """Folders `blue` and `green` below `folder`. What they say counts for this folder alone: a copy of a site has the
    records of the site that it was copied from, whose processes are not its own."""

    folder: Path

    def place(self, colour: Colour) -> Path:
        return self.folder / str(colour)

    def request_log(self, colour: Colour) -> Path:
        return self.place(colour) / "requests.log"

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
        """The slot as it runs. Raises OSError where that cannot be seen."""
        slot = self._recorded(colour)
        if slot is not None and process_named(slot.identity) is not None:
            return slot
        return self._found(colour, but_release=slot.release if slot else "")

    def end_the_rest(self, colour: Colour, *, deadline: Deadline) -> bool:
        """Nothing that a slot's process left behind runs any more; True where something did. Our own group and
        those who started us are not meant, though a slot may have started them. Raises DeadlineExceeded."""
        spared = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
        did = False
        while rest := [
            process for process, _ in self._told(colour) if process.pid not in spared and _is_apart(process)
        ]:
            if did and deadline.is_over:
                raise deadline.exceeded(f"process {rest[0].pid} is still there")
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
            row = json.loads(self._record(colour).read_text(encoding="utf-8"))
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
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _found(self, colour: Colour, *, but_release: str) -> Slot | None:
        """A slot whose record was lost, or never written, read back from the environment of its process.

        It leads a session of its own, as every slot is started to; what it started itself does not. `but_release` is
        the release whose process in this slot is known to have ended: what else bears its name was started by that one.
        """
        for process, told in self._told(colour):
            try:
                if os.getsid(process.pid) != process.pid or told["DEPLOYMENT_RELEASE"] == but_release:
                    continue
                slot = Slot(
                    colour=colour,
                    version=told["APP_VERSION"],
                    digest=told["CAKRAVIA_DIGEST"],
                    release=told["DEPLOYMENT_RELEASE"],
                    address=Address(told["HOST"], int(told["PORT"])),
                    identity=identity_of(process),
                    started_at=process.create_time(),
                )
            except (psutil.Error, ProcessLookupError, KeyError, ValueError):
                continue
            with contextlib.suppress(OSError):
                self.put(slot)
            return slot
        return None

    def _told(self, colour: Colour) -> Iterator[tuple[psutil.Process, dict[str, str]]]:
        """Everything that was started in the slot, oldest first, with its environment."""
        return told_processes({"DEPLOYMENT_SLOT": str(colour), "REQUEST_LOG": str(self.request_log(colour))})


def _is_apart(process: psutil.Process) -> bool:
    with contextlib.suppress(ProcessLookupError):
        return os.getpgid(process.pid) != os.getpgrp()
    return False
