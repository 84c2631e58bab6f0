"""The raw files of a small run, written by hand: what the tests of the ledger are made of."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cakravia_verify.traffic.ledger.formats import CLIENT_TYPES
from cakravia_verify.traffic.ledger.ledger import Ledger

if TYPE_CHECKING:
    from pathlib import Path

RUN = "r1"


def request(number: int, **changes: Any) -> dict[str, Any]:
    """An answered request, sent at `number` milliseconds; None writes an empty field."""
    at = number * 1000
    row: dict[str, Any] = {
        "id": f"{RUN}-{number}",
        "connection": number % 3,
        "reused": 1,
        "method": "GET",
        "name": "page",
        "planned": at,
        "started": at + 10,
        "connected": None,
        "sent": at + 30,
        "first_byte": at + 500,
        "done": at + 600,
        "status": 200,
        "bytes": 10,
        "slot": "blue",
        "version": "v1",
        "served_slot": "blue",
        "outcome": "answered",
        "detail": None,
        "strict": 1,
    }
    return {**row, **changes}


def passed(number: int | str, **changes: Any) -> dict[str, Any]:
    """The proxy's line for a request."""
    ident = f"{RUN}-{number}" if isinstance(number, int) else number
    row: dict[str, Any] = {
        "at": 1_760_000_000.5,
        "id": ident,
        "rid": "0a",
        "method": "GET",
        "uri": "/",
        "status": 200,
        "bytes": 10,
        "time": 0.001,
        "slot": "blue",
        "upstream": "127.0.0.1:3000",
        "upstream_status": "200",
        "upstream_time": "0.001",
        "connection": 1,
        "requests": 1,
        "completion": "OK",
    }
    return {**row, **changes}


def handled(number: int | str, *, event: str = "begin", slot: str = "blue", version: str = "v1") -> tuple[Any, ...]:
    """A line of the application's request log."""
    ident = f"{RUN}-{number}" if isinstance(number, int) else number
    return (event, 5, ident, slot, version, "GET", "/", "200" if event == "end" else "")


@dataclass
class Run:
    """Raw files below a folder; `build` makes the ledger of them."""

    folder: Path
    requests: list[dict[str, Any]] = field(default_factory=list)
    proxy: list[dict[str, Any]] | None = None
    application: list[tuple[Any, ...]] | None = None
    events: list[tuple[Any, ...]] = field(default_factory=list)
    traffic: dict[str, Any] = field(default_factory=dict)

    @property
    def paths(self) -> dict[str, Path]:
        names = {
            "requests": "requests.csv",
            "access_log": "access.log",
            "application": "app.tsv",
            "events": "events.csv",
            "traffic": "traffic.json",
        }
        return {key: self.folder / name for key, name in names.items()}

    def write(self) -> dict[str, Path]:
        paths = self.paths
        with paths["requests"].open("w", newline="") as file:
            writer = csv.DictWriter(file, list(CLIENT_TYPES), lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.requests)
        if self.proxy is not None:
            paths["access_log"].write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in self.proxy))
        if self.application is not None:
            paths["application"].write_text("".join("\t".join(map(str, row)) + "\n" for row in self.application))
        with paths["events"].open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([("at", "connection", "kind", "detail"), *self.events])
        number = len(self.requests)
        facts: dict[str, Any] = {"planned": number, "started": number, "finished": number}
        facts |= {"rate_planned": 1000.0, "rate_achieved": 1000.0, "ended": "finished"}
        paths["traffic"].write_text(json.dumps(facts | self.traffic))
        return paths

    def build(self, *, run: str = RUN) -> Ledger:
        self.write()
        return self.build_from_files(run=run)

    def build_from_files(self, *, run: str = RUN) -> Ledger:
        paths = self.paths
        return Ledger.build(
            self.folder / "out",
            requests=paths["requests"],
            access_log=paths["access_log"] if self.proxy is not None else None,
            application_logs=[paths["application"]] if self.application is not None else [],
            events=paths["events"],
            traffic=paths["traffic"],
            run=run,
        )
