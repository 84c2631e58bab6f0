"""Start again what died while no release runs, with growing pauses, and tell about it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from cakravia_verify.errors import CakraviaError, LockHeld
from cakravia_verify.history.lease import SUPERVISION
from cakravia_verify.recovery.outages import Outage, SitePart, outages_of
from cakravia_verify.recovery.repair import repair
from cakravia_verify.recovery.warm_slot import failover_again, restart_warm_slot
from cakravia_verify.release.direct_users import proxy_deadline
from cakravia_verify.site.site import Site

# Seconds. A part that was in order for so long begins anew with short pauses.
STABLE: Final = 60.0
LONGEST_PAUSE: Final = 60.0
# From this attempt on, a part that keeps dying is a crash loop.
CRASH_LOOP: Final = 3
# Looks in a row that must find an outage that may be one slow answer.
LOOKS: Final = 3


@dataclass(frozen=True)
class Attempts:
    """How often a part was started again in a row, and when the next attempt is due. Instants are monotonic seconds."""

    number: int = 0
    due: float = 0.0
    seen: float = 0.0
    looks: int = 0


class Supervisor:
    """Watches one site. `told` gets one line for everything that happens."""

    def __init__(self, site: Site, *, told: Callable[[str], None], interval: float = 1.0) -> None:
        self._site = site
        self._told = told
        self._interval = interval
        self._over = threading.Event()
        self._attempts: dict[SitePart, Attempts] = {}
        self._trouble = ""

    def run(self) -> None:
        """Look at the site again and again, until `stop`."""
        while not self._over.is_set():
            self.look()
            self._over.wait(self._interval)

    def stop(self) -> None:
        """End `run` soon. May be called from a signal handler."""
        self._over.set()

    def look(self) -> None:
        """Look once, and start again what is due. A release or a command that holds the site is left alone."""
        try:
            if self._site.lock.holder() is not None:
                return
            found = [*outages_of(self._site)]
            self._note(found)
            if due := [outage for outage in found if self._is_due(outage)]:
                self._mend(due)
            self._trouble = ""
        except CakraviaError as error:
            self._tell_once(error.message)

    def _note(self, found: Sequence[Outage]) -> None:
        """Count in how many looks each outage was found, and forget the attempts of parts that are stable."""
        now = self._site.clock.monotonic()
        parts = {outage.part for outage in found}
        for part in parts:
            known = self._attempts.get(part, Attempts())
            self._attempts[part] = replace(known, seen=now, looks=known.looks + 1)
        for part in [*self._attempts]:
            known = self._attempts[part]
            if part in parts:
                continue
            if known.number and now - known.seen < STABLE:
                self._attempts[part] = replace(known, looks=0)
                continue
            del self._attempts[part]
            if known.number >= CRASH_LOOP:
                self._told(f"{part}: in order for {STABLE:g} s")

    def _is_due(self, outage: Outage) -> bool:
        known = self._attempts[outage.part]
        needed = 1 if outage.is_certain else LOOKS
        return known.looks >= needed and self._site.clock.monotonic() >= known.due

    def _mend(self, due: Sequence[Outage]) -> None:
        site = self._site
        try:
            lease = site.lock.acquire(SUPERVISION)
        except LockHeld:
            return  # a release was quicker; it repairs the site itself
        try:
            site.journal.token = lease.token
            if site.lock.taken_over:
                site.journal.append("lock.taken_over", holder=str(site.lock.taken_over))
            for outage in due:
                self._told(f"{outage.part}: {outage.what}")
                self._count(outage)
            site.journal.append("site.supervised", parts=[outage.what for outage in due])
            for line in self._repairs({outage.part for outage in due}):
                self._told(line)
        except CakraviaError as error:
            self._told(f"could not be mended: {error.message}")
        finally:
            site.lock.release()

    def _repairs(self, parts: set[SitePart]) -> Iterator[str]:
        site = self._site
        if parts - {SitePart.WARM, SitePart.PROXY}:
            yield from repair(site)
            yield from failover_again(site)
        if SitePart.PROXY in parts:
            site.proxy.refresh(deadline=proxy_deadline(site, "nginx has a master process"))
            yield "nginx has a master process again"
        if SitePart.WARM in parts:
            yield from restart_warm_slot(site)

    def _count(self, outage: Outage) -> None:
        """Count an attempt, and say when the next one may come. A crash loop is told and is in the history."""
        now, known = self._site.clock.monotonic(), self._attempts[outage.part]
        number = known.number + 1
        pause = min(2.0 ** (number - 1), LONGEST_PAUSE)
        self._attempts[outage.part] = replace(known, number=number, due=now + pause)
        if number >= CRASH_LOOP:
            self._told(
                f"{outage.part}: a crash loop, start {number} in a row; the next one comes in {pause:g} s or later"
            )
        if number == CRASH_LOOP:
            self._site.journal.append("site.crash_loop", part=str(outage.part), what=outage.what)

    def _tell_once(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._told(f"the site cannot be observed: {trouble}")
        self._trouble = trouble
