"""A session of faults: on a throw-away copy of the site, or on the live site."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from cakravia_verify.errors import UsageError
from cakravia_verify.kinds import FAILOVER
from cakravia_verify.release.machine import StepEvent
from cakravia_verify.runs.check_run import CheckRun
from cakravia_verify.runs.failover_cell import FailoverCell
from cakravia_verify.site.site import Site


class FailoverRun(CheckRun):
    """One session of faults. `cells` are those that the command line chose."""

    def __init__(
        self,
        site: Site,
        *,
        cells: Sequence[FailoverCell],
        hold: float,
        is_live: bool,
        pairs: Sequence[tuple[str, Any]],
        on_event: Callable[[StepEvent], None],
        told: Callable[[str], None],
    ) -> None:
        super().__init__(site, duration=hold, on_event=on_event, pairs=pairs, told=told, is_live=is_live, kind=FAILOVER)
        self._cells = cells

    @property
    def introduction(self) -> tuple[str, ...]:
        """The plan: what is done to which site."""
        name = self.settings.site.name
        where = f"the LIVE site {name}" if self.is_live else f"a copy of {name} on other ports"
        plan = [f"  {cell.fault.name}, {cell.moment}: {cell.fault.title}" for cell in self._cells]
        first = f"Trying {len(self._cells)} faults of {self._duration:g} s each on {where}: {self.subject}"
        return (first, f"failover {self.id}", *plan)

    def open(self, *, waiting: Callable[[str], None] = lambda _: None) -> None:
        """Observe the site. Raises UsageError if the command line chose no fault."""
        if not self._cells:
            raise UsageError("no fault was chosen that applies here", remedy="see the list in docs/FAILOVER.md")
        super().open(waiting=waiting)
