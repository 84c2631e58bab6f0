"""Everything that a report shows of one release."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cakravia_verify.analysis.model import Bucket, ReportWindow
from cakravia_verify.gate.model import Budget, Evidence, Verdict


@dataclass(frozen=True)
class Event:
    """One moment of a step. `at` is its end in seconds since the release began, `seconds` is its duration."""

    step: str
    kind: str
    at: float
    seconds: float
    note: str


@dataclass(frozen=True)
class RunFigures:
    """One run. Durations are seconds, counts are requests, None means not measured.

    `problem` says why the verdict cannot be read; the other facts are empty then.
    """

    folder: Path
    problem: str = ""
    kind: str = ""
    version: str = ""
    decision: str = ""
    outcome: str = ""
    started_at: str = ""
    seconds: float | None = None
    sent: int | None = None
    lost: int | None = None
    errors: int | None = None
    p99: float | None = None
    switch_seconds: float | None = None


@dataclass(frozen=True)
class ReleaseDocument:
    """The facts of one release. Instants are ISO 8601 in UTC, durations are seconds.

    `files` maps a file of the report folder to its SHA-256. `lost_rows` holds the first raw rows of lost requests.
    `switched_at` and `returned_at` are when users were sent to the candidate and back, in seconds since the release
    began. `switch_seconds` is the time from decision to effect. None means that it did not happen, or that only the
    timeline has it. `earlier` has the figures of the releases before, and `environment` describes this machine.
    """

    release: str
    kind: str
    version: str
    digest: str
    slot: str
    previous_version: str
    site: str
    platform: str
    who: str
    host: str
    reason: str
    started_at: str
    finished_at: str
    seconds: float
    outcome: str
    exit_status: int
    next_step: str
    verdict: Verdict
    evidence: Evidence
    budget: Budget
    drift: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    timeline: tuple[Event, ...] = ()
    buckets: tuple[Bucket, ...] = ()
    windows: tuple[ReportWindow, ...] = ()
    lost_rows: tuple[Mapping[str, object], ...] = ()
    traffic: Mapping[str, object] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    settings_digest: str = ""
    tool: str = ""
    switched_at: float | None = None
    returned_at: float | None = None
    switch_seconds: float | None = None
    earlier: tuple[RunFigures, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
