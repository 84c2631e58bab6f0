"""The faults that a session tries on a site, and the table of what users saw."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from cakravia_verify.faults.expectations import RequestKind
from cakravia_verify.runs.failover import Failover, FailoverOnCopy
from cakravia_verify.runs.failover_cell import CellResult, FailoverCell
from cakravia_verify.site.site import Site
from cakravia_verify.system.files import make_folder

# Seconds that a fault lasts, unless the command line says it.
HOLD: Final = 3.0
TABLE: Final = "failover.txt"
RESULTS: Final = "failover.json"


class FailoverTrials:
    """Tries cells one by one. The site for them is begun with the first cell and ended by `close`."""

    def __init__(
        self,
        site: Site,
        *,
        folder: Path,
        hold: float = HOLD,
        is_live: bool = False,
        pairs: Sequence[tuple[str, Any]] = (),
        told: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.results: list[CellResult] = []
        self._site = site
        self._folder = folder
        self._hold = hold
        self._is_live = is_live
        self._pairs = pairs
        self._told = told
        self._failover: Failover | None = None

    def try_cell(self, cell: FailoverCell) -> CellResult:
        """Return what users saw in this cell. Raises CakraviaError if it could not be tried."""
        result = self._begun().try_cell(cell)
        self.results.append(result)
        self._told(f"  {sentence(result)}")
        return result

    def close(self) -> None:
        """End the copy."""
        if self._failover is not None:
            self._failover.close()

    def sentences(self) -> Iterator[str]:
        """Yield what users saw, in one sentence a cell."""
        yield from map(sentence, self.results)

    def write(self) -> None:
        """Write the table into the folder of the run, if a cell was tried."""
        if not self.results:
            return
        make_folder(self._folder)
        (self._folder / TABLE).write_text("\n".join(table(self.results)) + "\n", encoding="utf-8")
        rows = [dict(result.as_json()) for result in self.results]
        (self._folder / RESULTS).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")

    def _begun(self) -> Failover:
        if self._failover is None:
            if self._is_live:
                self._failover = Failover(self._site, folder=self._folder, hold=self._hold, told=self._told)
            else:
                self._failover = self._copy()
        return self._failover

    def _copy(self) -> FailoverOnCopy:
        copy = FailoverOnCopy(self._site, folder=self._folder, hold=self._hold, pairs=self._pairs, told=self._told)
        self._told(f"  a copy of the site starts in {copy.copy.folder}")
        copy.open()
        return copy


def sentence(result: CellResult) -> str:
    """Return what users see in this case, in one sentence."""
    cell, moment = result.cell, result.cell.moment
    when = "" if moment == "steady" else f" {moment} a switch"
    release = f"; the release under way was {result.release_end}" if result.release_end else ""
    verdict = "" if not result.problems else f" NOT AS EXPECTED: {'; '.join(result.problems)}"
    return f"{cell.fault.title}{when}: {_lost(result)}{release}.{verdict}"


def _lost(result: CellResult) -> str:
    sent = sum(result.sent.values())
    if not result.all_lost:
        return f"none of {sent:,} requests was lost"
    kinds = ", ".join(f"{number} {kind}" for kind, number in result.lost.items() if number)
    return f"{result.all_lost} of {sent:,} requests were lost ({kinds}), the last one began after {result.back:.2f} s"


def table(results: Sequence[CellResult]) -> Iterator[str]:
    """Yield the lines of the table: what will my users see when this happens?"""
    lost = [f"lost {kind}" for kind in RequestKind]
    heads = ("when", "moment", *lost, "served again", "twice", "release", "as expected")
    rows = [heads, *map(_cells, results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    for row in rows:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()


def _cells(result: CellResult) -> tuple[str, ...]:
    return (
        result.cell.fault.title,
        str(result.cell.moment),
        *(f"{result.lost[kind]} of {result.sent[kind]}" if result.sent[kind] else "-" for kind in RequestKind),
        f"{result.back:.2f} s" if result.all_lost else "at once",
        "?" if result.duplicated is None else str(result.duplicated),
        str(result.release_end or "-"),
        "; ".join(result.problems) or "yes",
    )
