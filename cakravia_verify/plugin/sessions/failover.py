"""The session of faults: on a copy of the site, or on the live site with --i-know-this-hurts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import pytest

from cakravia_verify.faults.catalogue import FAULTS
from cakravia_verify.faults.model import Moment
from cakravia_verify.plugin.fault_choice import chosen_cells
from cakravia_verify.plugin.options import overrides
from cakravia_verify.plugin.sessions.checks import CheckSession
from cakravia_verify.runs.failover_cell import FailoverCell
from cakravia_verify.runs.failover_run import FailoverRun
from cakravia_verify.runs.failover_trials import HOLD


class FailoverSession(CheckSession):
    """A session that tries faults. Every cell of the table is one check."""

    latest: ClassVar[str] = "latest-failover"

    def new_run(self) -> FailoverRun:
        self.refuse_options_of_releases()
        site = self.open_site()
        if site.settings.site.platform != "process":
            raise pytest.UsageError("faults are tried on the embedded platform; this site is on Docker")
        return FailoverRun(
            site,
            cells=self.cells(),
            hold=self.duration(HOLD),
            is_live=self.config.getoption("cakravia_hurts"),
            pairs=overrides(self.config),
            on_event=self.progress.event,
            told=self.progress.line,
        )

    def cells(self) -> Sequence[FailoverCell]:
        """Return the faults that the command line names, else all that apply."""
        is_live = self.config.getoption("cakravia_hurts")
        moments = [Moment.STEADY] if is_live else [*Moment]
        found = chosen_cells(self.config, names=[fault.name for fault in FAULTS], moments=moments)
        if not is_live:
            return found
        if any(cell.moment is not Moment.STEADY for cell in found):
            raise pytest.UsageError("--moment on the live site is steady: no release is made there")
        return [cell for cell in found if not cell.fault.needs_detour]
