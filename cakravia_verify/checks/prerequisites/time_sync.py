"""The clock of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.checks.model import CheckFinding, Ground, SiteCheck, ok, warning


def _find(ground: Ground) -> Iterator[CheckFinding]:
    is_synchronised = ground.machine.is_clock_synchronised()
    if is_synchronised is None:
        yield ok("the kernel does not tell whether its clock is synchronised")
    elif is_synchronised:
        yield ok("the clock follows a reference")
    else:
        yield warning(
            "the clock follows no reference (NTP)",
            needed="a synchronised clock: history, certificates and the records of several machines need the time",
            remedy="sudo timedatectl set-ntp true, or install chrony",
        )


CHECK: Final = SiteCheck("time", "The clock is synchronised", _find)
