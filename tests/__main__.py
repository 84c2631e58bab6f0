"""The whole of the tests, in parts: `python -m tests [pytest's arguments]`.

Releases and containers mostly wait, so their parts run side by side. What measures instants begins once no more than
one of them is left.
The exit status is 0 when every part passed, 1 when a test failed, 130 when interrupted.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

HERE = Path(__file__).resolve().parent
BESIDE = {
    "sessions": ("plugin/sessions",),
    "containers": ("platforms/docker",),
    "recovery": ("recovery/matrix",),
}
LATE = ("benchmarks", "traffic/client", "traffic/zoo")
REST = "rest"
NOTHING_SELECTED = 5
QUIET_SECONDS = 30.0


@dataclass
class Part:
    """One pytest process, and what it wrote so far."""

    name: str
    folders: tuple[str, ...]
    log: Path
    process: subprocess.Popen[bytes]
    began: float = field(default_factory=time.monotonic)
    took: float = 0.0

    @property
    def text(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def results(self) -> int:
        """How many tests have ended; pytest writes a letter for each."""
        return sum(len(found) for found in re.findall(r"^([.FEsxX]+)", self.text, re.MULTILINE))

    @property
    def has_passed(self) -> bool:
        return self.process.returncode in (0, NOTHING_SELECTED)

    @property
    def counted(self) -> Counter[str]:
        """What pytest's last line counts: passed, failed, skipped, deselected, ..."""
        lines = [line for line in self.text.splitlines() if re.search(r" in \d+\.\d+s", line)]
        return Counter(
            {word: int(number) for number, word in re.findall(r"(\d+) ([a-z]+)", lines[-1] if lines else "")}
        )


def main(arguments: Sequence[str]) -> int:
    """Every part has run; what failed is told whole."""
    placed = {*sum(BESIDE.values(), ()), *LATE}
    rest = tuple(name for name in _folders() if not any(name == one or name.startswith(f"{one}/") for one in placed))
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="tests-") as name:
        start = _starter(Path(name), arguments)
        beside = [start(part, folders) for part, folders in {**BESIDE, REST: rest}.items()]
        try:
            last = _follow(beside, until=1)
            measuring = start("measuring", LATE)
            _follow([*last, measuring])
        except KeyboardInterrupt:
            for part in beside:
                part.process.wait(60)
            return 130
        return _conclude([*beside, measuring], took=time.monotonic() - began)


def _folders() -> list[str]:
    return sorted({path.parent.relative_to(HERE).as_posix() for path in HERE.rglob("test_*.py")} - {"."})


def _starter(folder: Path, arguments: Sequence[str]) -> Callable[[str, tuple[str, ...]], Part]:
    def start(name: str, folders: tuple[str, ...]) -> Part:
        command = [sys.executable, "-m", "pytest", *(f"tests/{one}" for one in folders)]
        # Parts that share a cache would overwrite each other's list of failures.
        command += ["-q", "-o", f"cache_dir=.pytest_cache/{name}", *arguments]
        log = folder / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(command, cwd=HERE.parent, stdout=output, stderr=subprocess.STDOUT)
        return Part(name=name, folders=folders, log=log, process=process)

    return start


def _follow(parts: Sequence[Part], *, until: int = 0) -> list[Part]:
    """The parts that still run, `until` of them at most. The others have said how they ended, and a line now and then
    how far they were."""
    running = list(parts)
    told = time.monotonic()
    while len(running) > until:
        for part in [one for one in running if one.process.poll() is not None]:
            running.remove(part)
            part.took = time.monotonic() - part.began
            _tell_end(part, sys.stdout)
        if running and time.monotonic() - told > QUIET_SECONDS:
            print("ended so far: " + ", ".join(f"{part.results} of {part.name}" for part in running), flush=True)
            told = time.monotonic()
        time.sleep(0.2)
    return running


def _tell_end(part: Part, output: IO[str]) -> None:
    if not part.has_passed:
        print(f"===== {part.name}: all of its output =====\n{part.text}", file=output)
    last = (part.text.strip().splitlines() or ["(no output)"])[-1]
    print(f"{part.name}: {last.strip('= ')}", file=output, flush=True)


def _conclude(parts: Sequence[Part], *, took: float) -> int:
    total = sum((part.counted for part in parts), Counter[str]())
    for part in parts:
        for line in part.text.splitlines():
            if line.startswith(("FAILED ", "ERROR ")) or "skipped:" in line:
                print(line)
    if not any(part.process.returncode == 0 for part in parts):
        print("nothing was selected" if all(part.has_passed for part in parts) else "no part passed")
        return 1
    counts = ", ".join(f"{number} {word}" for word, number in total.items() if word not in {"warning", "warnings"})
    print(f"{counts} in {took / 60:.0f} min {took % 60:.0f} s" if took >= 60 else f"{counts} in {took:.0f} s")
    return 0 if all(part.has_passed for part in parts) else 1


if __name__ == "__main__":
    os.chdir(HERE.parent)
    sys.exit(main(sys.argv[1:]))
