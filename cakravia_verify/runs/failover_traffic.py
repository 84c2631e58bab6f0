"""The traffic of one cell of the failover table, and its ledger."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, Self

from cakravia_verify.errors import TrafficError
from cakravia_verify.faults.expectations import ReleaseOutcome
from cakravia_verify.runs.failover_cell import READING, CellResult, FailoverCell, FaultInstants, weigh
from cakravia_verify.site.site import Site
from cakravia_verify.slots import Colour
from cakravia_verify.system.clock import Deadline
from cakravia_verify.system.log_files import LogCuts
from cakravia_verify.traffic.ledger.ledger import Ledger
from cakravia_verify.traffic.plan.from_settings import headers_of, plan_of
from cakravia_verify.traffic.records.rows import read_rows
from cakravia_verify.traffic.run import TrafficRun

START_SECONDS: Final = 30.0


class FailoverTraffic:
    """Traffic that flows in a block. It never retries. Its records and its ledger are in `folder`."""

    def __init__(self, site: Site, folder: Path) -> None:
        self._site = site
        self._folder = folder
        self._cuts = LogCuts()
        self._cuts.remember(site.proxy.access_log, *(site.platform.request_log(each) for each in Colour))
        settings = site.settings
        plan = plan_of(
            settings.traffic,
            address=site.proxy.address,
            folder=folder,
            run=folder.name,
            headers=headers_of(settings),
            root=settings.root,
            site=settings.site,
            tls_address=site.proxy.tls_address,
            passing_header=site.proxy.passing_header,
        )
        self._run = TrafficRun(plan, clock=site.clock)

    def __enter__(self) -> Self:
        try:
            self._run.start(deadline=Deadline("the traffic flows", START_SECONDS, clock=self._site.clock), requests=1)
        except BaseException:
            self._run.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._run.kill()

    def weighed(self, cell: FailoverCell, instants: FaultInstants, *, release_end: ReleaseOutcome | None) -> CellResult:
        """Stop the traffic, and return what its ledger says about the cell. Raises TrafficError."""
        plan = self._run.plan
        self._run.stop(deadline=Deadline("requests under way end", plan.longest_timeout + 5, clock=self._site.clock))
        duplicated = self._duplicated()
        rows = [row for row in read_rows(self._run.requests) if row.strict]
        return weigh(
            cell, rows, instants=instants, streams=plan.streams, duplicated=duplicated, release_end=release_end
        )

    def _duplicated(self) -> int | None:
        """Return how many writes were executed twice, None if the application keeps no log of them."""
        site = self._site
        site.fetch_logs()
        logs: list[Path] = []
        for colour in Colour:
            log = self._folder / f"application-{colour}.log"
            if self._cuts.copy(site.platform.request_log(colour), log) is not None:
                (logs.append if log.stat().st_size else os.unlink)(log)
        with Ledger.build(
            self._folder,
            requests=self._run.requests,
            access_log=self._cuts.copy(site.proxy.access_log, self._folder / "access.log"),
            application_logs=logs,
            events=self._run.events,
            traffic=self._folder / "traffic.json",
            run=self._run.plan.run,
        ) as ledger:
            if ledger.evidence.counts.total == 0:
                raise TrafficError("no request was recorded", remedy="see traffic.log beside the ledger")
            if ledger.evidence.duplicated is None:
                return None
            ((number,),) = ledger.query(
                "SELECT count(*) FROM ledger WHERE duplicated AND NOT list_contains($reading, method)",
                {"reading": list(READING)},
            )
        return int(number)
