"""Samples: one value of one series at one instant, and their compact form on disk."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

# Milliseconds since the start of the block fit into two bytes.
LONGEST_BLOCK: Final = 60.0
_PROBE: Final = struct.Struct("<HBH5I")
_GAUGE: Final = struct.Struct("<Hf")
_MOST_MICROSECONDS: Final = 2**32 - 1


class ProbeOutcome(IntEnum):
    """How a probe ended. The numbers are on disk: add new ones at the end."""

    OK = 0
    NAME_UNKNOWN = 1
    REFUSED = 2
    NO_ANSWER = 3
    TLS_FAILED = 4
    BROKEN = 5
    STATUS = 6
    UNHEALTHY = 7
    WRONG_SLOT = 8


@dataclass(frozen=True, slots=True)
class Phases:
    """Seconds that each phase of a request took; 0 for a phase that did not happen."""

    dns: float = 0.0
    connect: float = 0.0
    tls: float = 0.0
    first_byte: float = 0.0


@dataclass(frozen=True, slots=True)
class MetricSample:
    """One value of a series. For a probe `value` is its whole duration in seconds and `phases` is set.

    `at` is in seconds since 1970. `status` is the HTTP status, 0 without an answer.
    """

    series: str
    at: float
    value: float
    outcome: ProbeOutcome = ProbeOutcome.OK
    status: int = 0
    phases: Phases | None = None

    @property
    def is_bad(self) -> bool:
        return self.outcome is not ProbeOutcome.OK


def blocks(samples: Iterable[MetricSample]) -> Iterator[list[MetricSample]]:
    """Yield the samples of one series in runs that one block can hold, oldest first."""
    run: list[MetricSample] = []
    for sample in sorted(samples, key=lambda each: each.at):
        if run and sample.at - run[0].at >= LONGEST_BLOCK:
            yield run
            run = []
        run.append(sample)
    if run:
        yield run


def packed(run: Sequence[MetricSample]) -> bytes:
    """Return the block of a run. The first byte says which kind of record follows."""
    start = int(run[0].at * 1000)
    if run[0].phases is None:
        return b"g" + b"".join(_GAUGE.pack(int(each.at * 1000) - start, each.value) for each in run)
    return b"p" + b"".join(_packed_probe(each, start) for each in run)


def _packed_probe(sample: MetricSample, start: int) -> bytes:
    phases = sample.phases or Phases()
    parts = (sample.value, phases.dns, phases.connect, phases.tls, phases.first_byte)
    micros = (min(_MOST_MICROSECONDS, max(0, round(part * 1_000_000))) for part in parts)
    return _PROBE.pack(int(sample.at * 1000) - start, sample.outcome, sample.status, *micros)


def unpacked(series: str, start: int, block: bytes) -> Iterator[MetricSample]:
    """Yield the samples of a block that began at `start` milliseconds since 1970."""
    if block[:1] == b"g":
        for offset, value in _GAUGE.iter_unpack(block[1:]):
            yield MetricSample(series, (start + offset) / 1000, value)
        return
    for offset, outcome, status, *micros in _PROBE.iter_unpack(block[1:]):
        value, *phases = (each / 1_000_000 for each in micros)
        yield MetricSample(series, (start + offset) / 1000, value, ProbeOutcome(outcome), status, Phases(*phases))
