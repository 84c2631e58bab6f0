"""The folder of reports."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.checks.model import CheckFinding, Ground, SiteCheck, no_error
from cakravia_verify.report.folder import require_writable


def _find(ground: Ground) -> Iterator[CheckFinding]:
    reports = ground.settings.reports
    yield no_error(lambda: require_writable(reports), found=f"{reports} can be written")


CHECK: Final = SiteCheck("reports folder", "A report can be written", _find)
