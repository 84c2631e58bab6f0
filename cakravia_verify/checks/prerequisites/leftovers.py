"""What other sites and interrupted commands left on this machine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil

from cakravia_verify.checks.model import CheckFinding, Ground, SiteCheck, ok, problem, warning
from cakravia_verify.slots import Colour
from cakravia_verify.system.processes import has_ended

# Seconds after which a draft of a file belongs to no command any more.
OLD: Final = 3600.0


def _find(ground: Ground) -> Iterator[CheckFinding]:
    state, clock = ground.settings.state, ground.site.clock
    drafts = [
        path
        for pattern in (".*.draft", "*/.*.draft", "*/*/.*.draft")
        for path in state.glob(pattern)
        if clock.wall() - path.stat().st_mtime > OLD
    ]
    if drafts:
        yield warning(
            f"{len(drafts)} drafts of files that were never finished, such as {drafts[0]}",
            needed="none",
            remedy=f"remove them: find {state} -name '.*.draft' -mmin +60 -delete",
        )
    if ground.settings.site.platform == "process":
        yield from _processes(ground)
    if not drafts:
        yield ok("no drafts")


def _processes(ground: Ground) -> Iterator[CheckFinding]:
    """Yield slots of other sites that have an address of this one."""
    ours = {str(ground.settings.slots.port(colour)) for colour in Colour}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            environment = process.environ()
            log = environment.get("REQUEST_LOG", "")
            is_slot = "DEPLOYMENT_SLOT" in environment and environment.get("PORT") in ours
            is_elsewhere = is_slot and log and not log.startswith(str(ground.settings.state))
            if is_elsewhere and _is_of_this_network(process) and _leads(process) and not has_ended(process):
                yield problem(
                    f"process {process.pid} is the slot {environment['DEPLOYMENT_SLOT']} of another site, with port "
                    f"{environment['PORT']}; its files are in {log.rpartition('/slots/')[0] or log}",
                    needed="other ports for each site of this machine",
                    remedy="stop that site (cakravia --site ITS-FILE down), or choose other ports in [slots]",
                )


def _is_of_this_network(process: psutil.Process) -> bool:
    """Return whether the process has the ports of this machine. A container has ports of its own."""
    return Path(f"/proc/{process.pid}/ns/net").readlink() == Path("/proc/self/ns/net").readlink()


def _leads(process: psutil.Process) -> bool:
    """Return whether the process was not started by another one of the same slot."""
    with contextlib.suppress(psutil.Error):
        parent = process.parent()
        return parent is None or "DEPLOYMENT_SLOT" not in parent.environ()
    return True


CHECK: Final = SiteCheck("leftovers", "Nothing of other sites or of dead commands is in the way", _find)
