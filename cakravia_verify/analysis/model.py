"""The results of a measurement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cakravia_verify.gate.model import Measured


@dataclass(frozen=True)
class Measurement:
    """The numbers for the gate, and the series for the report."""

    measured: Measured
    findings: tuple[str, ...]
    buckets: tuple[Bucket, ...] = ()
    windows: tuple[ReportWindow, ...] = ()
    lost_rows: tuple[dict[str, object], ...] = ()
    figures: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Bucket:
    """The requests that were planned within one interval of the run.

    The interval starts `at` seconds after the release began and is `seconds` long. Latencies are seconds from the
    planned instant; None if the interval has no answered request. `by_slot` counts answers by the slot that gave them.
    """

    at: float
    seconds: float
    answered: int
    lost: int
    errors: int
    p50: float | None
    p99: float | None
    by_slot: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class ReportWindow:
    """One period around a switch. `name` is before, during or after the switch. Times are seconds."""

    name: str
    requests: int
    lost: int
    errors: int
    p50: float | None
    p99: float | None
    longest_gap: float | None
