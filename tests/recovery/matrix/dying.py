"""A pytest plugin that lets a release receive signals at exact points, as CAKRAVIA_TEST_DEATH says.

`SIGTERM@bake.begins,SIGKILL@unswitch.midway`: each signal once, at `<step>.begins`, `.done` or `.undone` (the moments
that any observer is told of), in the middle of a step, `<step>.midway`, `<undo>.midway`, when the gate weighs (`gate`),
right before and right after its verdict is on record (`verdict.begins`, `verdict.done`), and when everything is written
(`outcome`). In the middle means: inside the call by which that step acts on the world or
reads it.

`clock-6` or `clock+72` sets the clock of every process that is told it by jumping.py, by hours.

`full-state` and `full-reports` leave no byte and no file free on the disk of the site's state or of its reports, and
`full-state` leaves the history no room in its last page either;
`descriptors` leaves the release none to open.

In place of a signal to the release, `traffic`, `proxy`, `active`, `candidate` and `machine` kill what they name: Locust
with all it started, nginx with its workers, a slot with its own, or all of these and then the release itself.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.recovery.matrix.filling import fill, use_up_last_page
from tests.recovery.matrix.jumping import jump

# step: (part of the site, its method, how many calls of it within the step, whether it acts before the signal comes)
MIDDLES = {
    "build": ("platform", "build", 1, True),
    "prepare": ("proxy", "set_failover", 1, True),
    # The process runs, and nobody has written down yet that it does.
    "stage": ("platform", "_recorded", 1, False),
    "prove": ("prober", "read_all", 1, True),
    "smoke": ("prober", "request", 1, False),
    "switch": ("proxy", "point_at", 1, True),
    "confirm": ("prober", "request", 2, True),
    "drain": ("platform", "connections", 1, True),
    "bake": ("prober", "read_all", 2, True),
    "promote": ("proxy", "set_failover", 1, True),
    "cleanup": ("platform", "prune", 1, False),
}
UNDOS = {
    "unswitch": ("proxy", "point_at", 1, True),
    "unstage": ("platform", "stop", 1, True),
    "restore": ("proxy", "set_failover", 1, True),
}


class Fate:
    """The signals still to come, and where the release is."""

    def __init__(self) -> None:
        told = os.environ.get("CAKRAVIA_TEST_DEATH", "")
        self.left = [each.partition("@")[::2] for each in told.split(",") if each]
        self.run: Any = None
        self.step = ""
        self.calls: dict[tuple[str, str, str], int] = {}
        self.has_struck = False

    def strike(self, point: str) -> None:
        if not self.left or self.left[0][1] != point:
            return
        name, _ = self.left.pop(0)
        if not self.has_struck:
            Path("struck").write_text(f"{time.monotonic()} {self.step}\n")
        self.has_struck = True
        with Path("strikes").open("a") as note:
            note.write(f"{name}@{point}\n")
        if name in signal.Signals.__members__:
            os.kill(os.getpid(), signal.Signals[name])
        elif name == "full-reports":
            fill(self.run.site.settings.reports)
        elif name == "full-state":
            use_up_last_page(self.run.site.journal.path)
            fill(self.run.site.settings.state)
        elif name == "descriptors":
            leave_no_descriptor()
        elif name.startswith("clock"):
            jump(Path.cwd(), float(name.removeprefix("clock")))
        else:
            kill(name, self.run)

    def wrap(self, site: Any, part: str, method: str) -> None:
        target = getattr(site, part)
        real: Callable[..., Any] = getattr(target, method)

        def wrapped(*arguments: Any, **named: Any) -> Any:
            points = self._points_of(part, method)
            for point, acts_first in points:
                if not acts_first:
                    self.strike(point)
            result = real(*arguments, **named)
            for point, acts_first in points:
                if acts_first:
                    self.strike(point)
            return result

        setattr(target, method, wrapped)

    def watch_the_record(self, journal: Any) -> None:
        """The verdict's entry has an instant before it and one after it; from then on it is durable."""
        real: Callable[..., Any] = journal.append

        def append(event: str, **named: Any) -> Any:
            if event == "release.verdict":
                self.strike("verdict.begins")
            entry = real(event, **named)
            if event == "release.verdict":
                self.strike("verdict.done")
            return entry

        journal.append = append

    def _points_of(self, part: str, method: str) -> list[tuple[str, bool]]:
        """The points that this call is the middle of."""
        stretch = "way back" if self.has_struck else self.step
        count = self.calls[part, method, stretch] = self.calls.get((part, method, stretch), 0) + 1
        found = UNDOS if self.has_struck else {self.step: MIDDLES[self.step]} if self.step in MIDDLES else {}
        return [
            (f"{name}.midway", acts_first)
            for name, (its_part, its_method, nth, acts_first) in found.items()
            if (its_part, its_method, nth) == (part, method, count)
        ]


def kill(name: str, run: Any) -> None:
    """What `name` stands for is dead, with all that belongs to it, at once."""
    intent, platform = run.release.intent, run.site.platform
    doomed: list[psutil.Process] = []
    if name in ("traffic", "machine"):
        doomed += [child for child in psutil.Process().children() if "locust" in " ".join(child.cmdline())]
    for slot, colour in (("active", intent.active), ("candidate", intent.candidate)):
        if name in (slot, "machine") and (running := platform.observe(colour)):
            doomed.append(psutil.Process(int(running.identity.partition("@")[0])))
    if name in ("proxy", "machine"):
        doomed.append(psutil.Process(int((run.site.settings.state / "nginx" / "nginx.pid").read_text())))
    doomed += [child for process in doomed for child in process.children(recursive=True)]
    for process in doomed:
        with contextlib.suppress(psutil.Error):
            process.kill()
    if name == "machine":
        os.kill(os.getpid(), signal.SIGKILL)


def leave_no_descriptor() -> None:
    """The next file that this process opens is one too many."""
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))


FATE = Fate()


def pytest_sessionstart(session: pytest.Session) -> None:
    gatekeeper: Any = session.config.pluginmanager.get_plugin("cakravia-gatekeeper")
    FATE.run = gatekeeper.run
    for part, method in {entry[:2] for entry in (*MIDDLES.values(), *UNDOS.values())}:
        FATE.wrap(gatekeeper.run.site, part, method)
    FATE.watch_the_record(gatekeeper.run.site.journal)


@pytest.hookimpl(tryfirst=True)
def pytest_cakravia_step(event: Any) -> None:
    if event.kind == "begins":
        FATE.step = event.step
    FATE.strike(f"{event.step}.{event.kind.replace(' ', '-')}")


@pytest.hookimpl(tryfirst=True)
def pytest_cakravia_gate() -> None:
    FATE.strike("gate")


@pytest.hookimpl(tryfirst=True)
def pytest_cakravia_outcome() -> None:
    FATE.strike("outcome")
