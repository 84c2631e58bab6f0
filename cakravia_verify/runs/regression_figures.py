"""The figures of one night, beside those of earlier nights."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from cakravia_verify.stats.trend import LEAST, WINDOW, worsening

FILE: Final = "regression-figures.jsonl"
# Each figure of a night, and the change that is too small to matter.
FIGURES: Final[Mapping[str, float]] = {
    "switch_seconds": 0.05,
    "release_seconds": 5.0,
    "rollback_seconds": 5.0,
    "load_p99_seconds": 0.25,
    "nginx_megabytes": 16.0,
    "slot_megabytes": 32.0,
    "open_files": 32.0,
}


@dataclass(frozen=True)
class NightFigures:
    """What was measured in one night: the median of each figure."""

    run: str
    at: str
    figures: Mapping[str, float]

    @classmethod
    def of(cls, samples: Mapping[str, Sequence[float]], *, run: str, at: str) -> NightFigures:
        return cls(run, at, {name: round(median(samples[name]), 6) for name in FIGURES if samples.get(name)})


def earlier_nights(file: Path) -> list[NightFigures]:
    """Return the nights of the file, oldest first. A line that is none is passed by."""
    nights: list[NightFigures] = []
    with suppress(FileNotFoundError):
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines()[-WINDOW:]:
            with suppress(ValueError, KeyError, TypeError, AttributeError):
                row: Any = json.loads(line)
                figures = {str(name): float(value) for name, value in row["figures"].items()}
                nights.append(NightFigures(str(row["run"]), str(row["at"]), figures))
    return nights


def append_night(file: Path, night: NightFigures) -> None:
    """Add the night to the file."""
    with file.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps({"run": night.run, "at": night.at, "figures": dict(night.figures)}) + "\n")


def worse_figures(earlier: Sequence[NightFigures], night: NightFigures) -> Iterator[str]:
    """Yield each figure that is worse than in earlier nights, and how."""
    for name, value in night.figures.items():
        values = [each.figures[name] for each in earlier if name in each.figures]
        if how := worsening([*values, value], floor=FIGURES[name]):
            yield f"{name}: {how}"


def figure_lines(earlier: Sequence[NightFigures], night: NightFigures) -> Iterator[str]:
    """Yield a line for each figure: tonight, and the median of the nights before."""
    for name, value in night.figures.items():
        values = [each.figures[name] for each in earlier if name in each.figures]
        before = f"median of {len(values)} nights before: {median(values):.4g}" if values else "the first night"
        trend = "" if len(values) >= LEAST else f"; a trend needs {LEAST} nights before"
        yield f"{name}: {value:.4g} ({before}{trend})"
