"""What a long history costs every command: 12,000 releases, 300,000 entries, on a site in memory.

    python -m benchmarks.long_history [--releases 12000]

Two columns stand side by side: a journal that reads its file anew for every question, as ours once did, and ours. What
is asked is what the commands ask, by their own code; the site itself answers at once. A command is a process of its
own, so each row begins with a journal that has read nothing. Seconds are those of this process alone.

Exit status: 0 when the bar is met, 3 when it is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cakravia_verify.history.journal import Journal
from cakravia_verify.history.journal_file import Entries
from cakravia_verify.history.releases import records
from cakravia_verify.history.running_release import highest_token
from cakravia_verify.recovery.repair import repair
from cakravia_verify.recovery.rollback_target import preview_rollback
from cakravia_verify.release.steps import STEPS
from cakravia_verify.settings.models import Settings
from cakravia_verify.site.lock import Lock
from cakravia_verify.site.site import Site
from cakravia_verify.slots import Artifact, Colour
from cakravia_verify.testing.memory import FakeClock, MemoryProxy, MemorySite, running_slot

BAR = 6.0
LATER = 100


class ForgetfulJournal(Journal):
    """A journal that keeps nothing of what it read."""

    def entries(self) -> Entries:
        return Journal(self.path).entries()

    def damage(self) -> list[str]:
        return Journal(self.path).damage()


def lines(releases: int) -> Iterator[str]:
    """A history of good releases, each with the entries and facts that a real one has."""
    number = 0

    def line(event: str, release: str, step: str = "", **facts: Any) -> str:
        nonlocal number
        number += 1
        row = {"seq": number, "at": "2026-01-01T00:00:00.000+00:00", "event": event, "release": release}
        return json.dumps(row | {"step": step, "who": "ada@build", "token": 1} | facts, separators=(",", ":")) + "\n"

    for each in range(releases):
        release, version = f"20260101-000000-v{each}-{each:04x}", f"v{each}"
        slots = list(Colour) if each % 2 == 0 else list(reversed(Colour))
        before = {"from_version": f"v{each - 1}", "from_digest": f"sha256:{each - 1:064x}"} if each else {}
        origin: dict[str, Any] = before | {"from_slot": slots[1] if each else None, "proxy_was_running": bool(each)}
        digest: dict[str, Any] = {"digest": f"sha256:{each:064x}"}
        yield line("release.started", release, kind="deploy", version=version, slot=slots[0], warm=False, **origin)
        for step in STEPS:
            facts: dict[str, Any] = digest if step.name in ("build", "stage") else {}
            yield line("step.intent", release, step.name)
            yield line("step.done", release, step.name, seconds=0.1234, note="what was seen of it", **facts)
        yield line("release.verdict", release, decision="PROMOTE", why="every check passed")
        yield line("release.finished", release, outcome="promoted", version=version, seconds=12.345, **digest)


def site_of(folder: Path, journal: Journal, *, releases: int) -> Site:
    """The site that such a history has left: the last version serves, the one before waits."""
    clock = FakeClock()
    memory = MemorySite(clock, proxy_runs=True, chosen=list(Colour)[(releases - 1) % 2])
    for each in (releases - 2, releases - 1):
        memory.artifacts[f"v{each}"] = artifact = Artifact(f"v{each}", f"sha256:{each:064x}", f"v{each}")
        colour = list(Colour)[each % 2]
        slot = running_slot(colour, artifact.version)
        memory.running[colour] = type(slot)(
            **{field: getattr(slot, field) for field in ("colour", "version", "address", "identity", "started_at")},
            digest=artifact.digest,
            release=f"20260101-000000-v{each}-{each:04x}",
        )
    lock = Lock(folder / "lock", above=lambda: highest_token(journal))
    return Site(Settings(root=folder), memory, MemoryProxy(memory), memory, journal, lock, clock)


def append_some(site: Site) -> None:
    for number in range(LATER):
        site.journal.append("notice", text=str(number))
        site.journal.entries()


def recover(site: Site) -> None:
    site.journal.token = site.lock.acquire("recover").token
    done = list(repair(site))
    site.lock.release()
    if done:
        raise SystemExit(f"nothing is to be mended here, but: {done}")


def validate(site: Site) -> None:
    preview = preview_rollback(site)
    if not preview.is_possible:
        raise SystemExit(f"the way back is open here, but: {[each for each in preview.checks if not each.is_ok]}")


ASKED: dict[str, Callable[[Site], object]] = {
    "status": lambda site: site.observe(),
    "history": lambda site: (records(site.journal.entries()), site.journal.damage()),
    "rollback validate": validate,
    "recover": recover,
    f"{LATER} appends, each read back": append_some,
}


def seconds_of(ask: Callable[[Site], object], site: Site) -> float:
    began = time.process_time()
    ask(site)
    return time.process_time() - began


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--releases", type=int, default=12_000)
    releases = parser.parse_args().releases
    worst = 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "history.log"
        with path.open("w", encoding="utf-8") as file:
            file.writelines(lines(releases))
        print(f"{releases:,} releases, {path.stat().st_size / 1e6:.0f} MB; seconds\n")
        print(f"{'':30} {'reading anew':>14} {'ours':>8}")
        for what, ask in ASKED.items():
            ours = seconds_of(ask, site_of(folder, Journal(path), releases=releases))
            anew = "-"  # a hundred times the whole file
            if ask is not append_some:
                anew = f"{seconds_of(ask, site_of(folder, ForgetfulJournal(path), releases=releases)):.1f}"
            worst = max(worst, ours)
            print(f"{what:30} {anew:>14} {ours:8.1f}", flush=True)
    print(f"\nworst {worst:.1f} s (bar {BAR:g} s)")
    return 0 if worst <= BAR else 3


if __name__ == "__main__":
    sys.exit(main())
