"""Does a version grow while it serves users: its memory, descriptors and threads, and the errors in its log?"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import linear_regression
from typing import Final

from cakravia_verify.foreign_text import one_line
from cakravia_verify.system.resources import SlotUse

LEAST_SAMPLES: Final = 6
LEAST_SECONDS: Final = 5.0
MEMORY_A_MINUTE: Final = 10 << 20
DESCRIPTORS_A_MINUTE: Final = 30
THREADS_A_MINUTE: Final = 10
LEAST_ERROR_LINES: Final = 3
_ERRORS: Final = re.compile(r"\b(?:ERROR|CRITICAL|FATAL|SEVERE|panic:|Traceback|Unhandled|Uncaught)\b")
_MEBIBYTE: Final = 1 << 20


@dataclass(frozen=True)
class UseSample:
    """What a slot used at one instant, in seconds."""

    at: float
    use: SlotUse


def are_enough(samples: Sequence[UseSample]) -> bool:
    """Return whether the samples are many and long enough to show growth."""
    return len(samples) >= LEAST_SAMPLES and samples[-1].at - samples[0].at >= LEAST_SECONDS


def growth_in_words(samples: Sequence[UseSample], *, memory_limit: int | None) -> Iterator[str]:
    """Yield a sentence for each resource that grows all the time, with the time until its limit.

    Caches and pools fill at the beginning, so the first third counts only as what is left behind.
    """
    memory = _growth(samples, lambda use: use.memory)
    if memory is not None and memory >= MEMORY_A_MINUTE:
        room = memory_limit - samples[-1].use.memory if memory_limit else None
        now = f"{samples[-1].use.memory / _MEBIBYTE:,.0f} MiB"
        yield f"its memory grows by {memory / _MEBIBYTE:,.0f} MiB a minute, now {now}{_until(room, memory)}"
    descriptors = _growth(samples, lambda use: use.descriptors)
    if descriptors is not None and descriptors >= DESCRIPTORS_A_MINUTE:
        last = samples[-1].use
        room = last.descriptor_limit - (last.descriptors or 0) if last.descriptor_limit else None
        told = f"its open descriptors grow by {descriptors:,.0f} a minute, now {last.descriptors:,}"
        yield f"{told}{_until(room, descriptors)}"
    threads = _growth(samples, lambda use: use.threads)
    if threads is not None and threads >= THREADS_A_MINUTE:
        yield f"its threads grow by {threads:,.0f} a minute, now {samples[-1].use.threads:,}"


def errors_in_words(log: str, log_before: str) -> str:
    """Return that a version logs errors which the version before does not log as often; '' if it does not."""
    found = [line for line in log.splitlines() if _ERRORS.search(line)]
    before = sum(bool(_ERRORS.search(line)) for line in log_before.splitlines())
    if len(found) < max(LEAST_ERROR_LINES, 3 * before):
        return ""
    return one_line(f"its log has {len(found):,} lines with errors, that of the version before {before:,}: {found[0]}")


def _growth(samples: Sequence[UseSample], value: Callable[[SlotUse], int | None]) -> float | None:
    """Return by how much a value grows in a minute; None if it does not grow all the time."""
    known = [(each.at, number) for each in samples if (number := value(each.use)) is not None]
    if len(known) < LEAST_SAMPLES or known[-1][0] - known[0][0] < LEAST_SECONDS:
        return None
    third = len(known) // 3
    thirds = [[number for _, number in part] for part in (known[:third], known[third:-third], known[-third:])]
    if not (max(thirds[0]) < max(thirds[1]) < max(thirds[2]) and max(thirds[0]) < min(thirds[2])):
        return None
    late = known[third:]
    return 60 * linear_regression([at for at, _ in late], [number for _, number in late]).slope


def _until(room: int | None, a_minute: float) -> str:
    if room is None:
        return ""
    minutes = max(0.0, room / a_minute)
    left = f"{minutes:,.0f} minutes" if minutes < 120 else f"{minutes / 60:,.0f} hours"
    return f"; its limit is reached in {left}"
