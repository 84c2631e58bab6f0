"""Whether the monitor's alerts can be trusted: real changes on purpose must not alert, real faults must.

    python -m benchmarks.monitor_alerts [--changes 54] [--faults 64]

A real site (nginx, two slots) runs in a temporary folder, and `cakravia monitor run` beside it. A change is a
release, a rollback, a reload of nginx, a restart of the proxy, or a maintenance. One monitor sees all changes. Each
fault is seen by a monitor that was just started, so an alert of an earlier fault cannot hide it; that monitor is then
killed with SIGKILL.

Exit status: 0 when no change alerted and no fault was missed, else 3.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import psutil

from cakravia_verify.slots import Colour
from cakravia_verify.system.processes import process_named
from tests.monitor.live_site import LiveSite
from tests.monitor.notify.receivers import HttpReceiver, http_receiver

INTERVAL: Final = 0.4
# What the bar permits is 3 intervals and 1 s. On a busy machine a fault counts as missed only after this.
MISSED_AFTER: Final = 20.0
# Readings that a change may still disturb, and the time in which an alert would have fired.
RECOVERED_WITHIN: Final = 60.0
AFTER_CHANGE: Final = 8 * INTERVAL
CHANNEL: Final = '[[notify.channels]]\nname = "ops"\nkind = "webhook"\nurl = "{url}"\nleast = "info"\n'
BAR: Final = 3 * INTERVAL + 1


class Bench:
    """The site, its messages, and what can be done to it."""

    def __init__(self, folder: Path, receiver: HttpReceiver) -> None:
        self.receiver = receiver
        self.site = LiveSite(
            folder / "site", interval=INTERVAL, timeout=INTERVAL, rest=CHANNEL.format(url=receiver.url)
        )
        self._number = 1
        self.site.deploy("v1")
        self.site.deploy("v2")

    # Changes on purpose.

    def release(self) -> None:
        self._number += 1
        self.site.deploy(f"v{self._number}")

    def roll_back(self) -> None:
        idle = self.site.open().observe().slots.idle
        self.site.deploy(idle.version if idle else "v1", kind="rollback")

    def reload(self) -> None:
        self._number += 1
        idle = f"client_idle = {60 + self._number % 20}.0\n"
        head, _, tail = self.site.settings_file.read_text().partition("workers = 1\n")
        kept = "".join(line for line in tail.splitlines(keepends=True) if not line.startswith("client_idle"))
        self.site.settings_file.write_text(f"{head}workers = 1\n{idle}{kept}")
        self._type("recover")

    def restart_proxy(self) -> None:
        self._type("down")
        self._type("up")

    def maintain(self) -> None:
        self._type("maintenance", "on")
        time.sleep(AFTER_CHANGE)
        self._type("maintenance", "off")

    # Faults. Each returns what heals it.

    def _order(self, order: str) -> Callable[[], None]:
        active = self._active()
        self.site.order(active, order)
        return lambda: self.site.order(active, "")

    def errors(self) -> Callable[[], None]:
        return self._order("error")

    def sick(self) -> Callable[[], None]:
        return self._order("sick")

    def hangs(self) -> Callable[[], None]:
        return self._order("hang")

    def active_slot_dies(self) -> Callable[[], None]:
        self._signal(self._active(), signal.SIGKILL)
        return self._recover

    def idle_slot_dies(self) -> Callable[[], None]:
        self._signal(self._active().other, signal.SIGKILL)
        return self._recover_idle

    def active_slot_stops(self) -> Callable[[], None]:
        active = self._active()
        self._signal(active, signal.SIGSTOP)
        return lambda: self._signal(active, signal.SIGCONT)

    def nginx_dies(self) -> Callable[[], None]:
        pid = int((self.site.folder / ".cakravia" / "nginx" / "nginx.pid").read_text())
        for process in [psutil.Process(pid), *psutil.Process(pid).children()]:
            with suppress(psutil.Error):
                process.kill()
        return self._recover

    def nginx_stops(self) -> Callable[[], None]:
        pid = int((self.site.folder / ".cakravia" / "nginx" / "nginx.pid").read_text())
        family = [psutil.Process(pid), *psutil.Process(pid).children()]
        for process in family:
            process.suspend()

        def go_on() -> None:
            for process in family:
                process.resume()

        return go_on

    def _active(self) -> Colour:
        active = self.site.open().observe().active
        assert active is not None
        return active.colour

    def _signal(self, colour: Colour, number: int) -> None:
        slot = self.site.open().platform.observe(colour)
        process = process_named(slot.identity) if slot else None
        assert process is not None
        for each in [process, *process.children(recursive=True)]:
            with suppress(psutil.Error):
                each.send_signal(number)

    def _recover(self) -> None:
        # nginx leaves out a slot that failed for some seconds: drift is left until it asks it again.
        ends = time.monotonic() + RECOVERED_WITHIN
        while self.site.cakravia("recover").returncode:
            assert time.monotonic() < ends, self.site.cakravia("status").stdout
            time.sleep(1)
        self._recover_idle()

    def _recover_idle(self) -> None:
        """Two releases put a version into both slots again."""
        self.release()
        self.release()

    def _type(self, *words: str) -> None:
        done = self.site.cakravia(*words)
        assert done.returncode == 0, (words, done.stdout, done.stderr)

    @contextmanager
    def fresh_monitor(self) -> Iterator[None]:
        """A monitor that knows nothing yet. It ends by SIGKILL."""
        shutil.rmtree(self.site.folder / ".cakravia" / "monitor", ignore_errors=True)
        process = self.site.start_monitor()
        try:
            self.site.await_state(lambda state: state.get("pid") == process.pid and _sees_all(state), seconds=60)
            self.receiver.accepted.clear()
            yield
        finally:
            process.kill()
            process.wait(10)


def _sees_all(state: dict[str, Any]) -> bool:
    """Whether a monitor saw users, slots and history, and finds nothing wrong."""
    facts = state["facts"]
    is_complete = all(facts.get(name) for name in ("users", "blue", "green", "release", "platform", "drift"))
    return is_complete and not any(alert["is_open"] for alert in state.get("alerts", ()))


def names_in(body: dict[str, Any]) -> set[str]:
    """Return the alerts that a message names."""
    lines = str(body.get("text", "")).splitlines()
    return {line.partition(":")[0] for line in lines if line and not line.startswith(" ")}


def measure_changes(bench: Bench, count: int, chance: random.Random) -> tuple[Counter[str], list[str]]:
    kinds = [bench.release, bench.roll_back, bench.reload, bench.restart_proxy, bench.release, bench.maintain]
    done, false = Counter[str](), []
    with bench.fresh_monitor():
        for number in range(count):
            change = kinds[number % len(kinds)]
            change()
            time.sleep(AFTER_CHANGE * chance.uniform(1, 2))
            done[change.__name__] += 1
            for body in bench.receiver.accepted:
                if not (change == bench.maintain and "maintenance" in names_in(body)):
                    false.append(f"{change.__name__} {number}: {json.dumps(body)[:400]}")
                    print(f"false alarm: {false[-1]}", flush=True)
            bench.receiver.accepted.clear()
    return done, false


def measure_faults(bench: Bench, count: int) -> tuple[Counter[str], list[str], list[float]]:
    kinds: dict[str, tuple[Callable[[], Callable[[], None]], set[str]]] = {
        "errors": (bench.errors, {"site", "active-slot"}),
        "sick": (bench.sick, {"site", "active-slot"}),
        "hangs": (bench.hangs, {"site", "active-slot"}),
        "active slot dies": (bench.active_slot_dies, {"site", "active-slot"}),
        "idle slot dies": (bench.idle_slot_dies, {"idle-slot"}),
        "active slot stops": (bench.active_slot_stops, {"site", "active-slot"}),
        "nginx dies": (bench.nginx_dies, {"site", "proxy"}),
        "nginx stops": (bench.nginx_stops, {"site"}),
    }
    done, missed, seconds = Counter[str](), [], []
    for number in range(count):
        name, (inject, expected) = list(kinds.items())[number % len(kinds)]
        with bench.fresh_monitor():
            began = time.monotonic()
            heal = inject()
            while not any(names_in(body) & expected for body in bench.receiver.accepted):
                if time.monotonic() - began > MISSED_AFTER:
                    missed.append(f"{name} {number}: {json.dumps(bench.site.state().get('alerts'))[:400]}")
                    break
                time.sleep(0.02)
            else:
                seconds.append(time.monotonic() - began)
        heal()
        done[name] += 1
    return done, missed, seconds


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--changes", type=int, default=54)
    options.add_argument("--faults", type=int, default=64)
    given = options.parse_args()
    os.nice(5)
    with tempfile.TemporaryDirectory() as place, http_receiver() as receiver:
        bench = Bench(Path(place), receiver)
        try:
            changes, false = measure_changes(bench, given.changes, random.Random(1))
            print(f"changes {changes.total():4}   false alarms {len(false)}   {dict(changes)}", flush=True)
            faults, missed, seconds = measure_faults(bench, given.faults)
        finally:
            bench.site.tear_down()
    print(f"faults  {faults.total():4}   missed {len(missed)}   {dict(faults)}")
    if seconds:
        median, late = sorted(seconds)[len(seconds) // 2], sum(each > BAR for each in seconds)
        print(f"from fault to message: median {median:.1f} s, longest {max(seconds):.1f} s; {late} above {BAR:.1f} s")
    print("\n".join([*false, *missed]), end="\n" if false or missed else "")
    return 3 if false or missed else 0


if __name__ == "__main__":
    sys.exit(main())
