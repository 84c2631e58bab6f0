"""What users get from the version that they are left on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cakravia_verify.analysis.run_timeline import RunTimeline
from cakravia_verify.analysis.users_left import users_left
from cakravia_verify.system.clock import Microseconds
from tests.traffic.ledger.ledger_files import Run, request


def test_only_requests_since_the_release_was_undone_count(tmp_path: Path) -> None:
    rows = []
    for number in range(30):
        facts: dict[str, Any] = dict.fromkeys(("planned", "started", "sent"), number * 1_000)
        facts |= {"done": number * 1_000 + 500, "name": "page"}
        if number == 3 or 15 <= number < 18 or number >= 25:
            facts |= {"outcome": "error", "status": 500, "detail": "status 500"}
        rows.append(request(number, **facts))
    timeline = RunTimeline(touched=Microseconds(10_000), switchovers=(), until=None, rate=1_000.0)
    with Run(tmp_path, rows).build() as ledger:
        found = users_left(ledger, timeline, left_at=Microseconds(20_000))
    method = rows[0]["method"]
    assert found == {
        "sent": 10,
        "failed": 5,
        "example": f"{method} page: status 500",
        "sent_before": 10,
        "failed_before": 1,
    }
