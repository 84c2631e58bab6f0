"""The wall clock of the whole machine jumps back and forward while a release runs; CLOCK_MONOTONIC does not.

Nothing that is decided comes from the wall clock; nothing that is written is confused by it. nginx, a static program,
goes on by the right clock: it disagrees with everybody else as well.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from cakravia_verify.history.releases import records
from cakravia_verify.site.lock import Lock
from tests.plugin.sessions.shop import REPOSITORY, Ended, Running, Shop
from tests.recovery.matrix import jumping
from tests.recovery.matrix.cells import Lane
from tests.recovery.matrix.jumping import jump

HOUR = 3600.0
JUMPS = "clock-6@stage.done,clock+30@switch.done,clock-2@bake.begins,clock+72@gate,clock-9@cleanup.begins"


class ShopInTime(Shop):
    """A site whose every process is told the time by its folder's clock."""

    def begin(self, command: list[str], *, environment: Mapping[str, str]) -> Running:
        return super().begin(command, environment={**jumping.environment(self.folder), **environment})


@pytest.fixture(scope="module")
def lane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lane]:
    if jumping.COMPILER is None:
        pytest.skip("needs a C compiler")
    folder = tmp_path_factory.mktemp("clocks")
    shop = ShopInTime(folder / "site")
    jumping.set_up(shop.folder)
    told = shop.settings.read_text()
    passed = ", ".join(f'"{name}"' for name in ("PATH", *jumping.environment(shop.folder)))
    shop.settings.write_text(told.replace("[health]", f"pass_environment = [{passed}]\n[health]", 1))
    made = Lane(folder, shop=shop)
    yield made
    jump(shop.folder, 0)
    assert made.close() == []


@pytest.fixture(scope="module")
def released(lane: Lane) -> tuple[Ended, list[dict[str, Any]]]:
    """A release through which the clock jumped by hours, five times, and what it added to the history."""
    known = len(lane.shop.history())
    ended = lane.release("deploy", "v3.0.0", death=JUMPS)
    assert (lane.shop.folder / "strikes").read_text().split() == JUMPS.split(","), ended.output
    return ended, lane.shop.history()[known:]


def test_clocks_of_release_and_slots_really_jumped(lane: Lane, released: tuple[Ended, list[dict[str, Any]]]) -> None:
    _, entries = released
    written = [datetime.fromisoformat(entry["at"]).timestamp() for entry in entries]
    steps = [later - earlier for earlier, later in itertools.pairwise(written)]
    assert min(steps) < -HOUR
    assert max(steps) > HOUR
    with urllib.request.urlopen(f"{lane.site().proxy.address.url}/api/health") as answer:  # noqa: S310
        told = datetime.fromisoformat(json.load(answer)["timestamp"]).timestamp()
    assert told - time.time() < -HOUR


def test_release_through_jumps_is_promoted_by_its_evidence(lane: Lane, released: tuple[Ended, Any]) -> None:
    ended, _ = released
    assert ended.status == 0, ended.output
    assert lane.shop.verdict_of("v3.0.0")["decision"] == "PROMOTE"
    assert lane.shop.serving() == "v3.0.0"
    assert lane._suffered_since(0)[0] == []


def test_report_of_a_release_through_jumps_tells_time_that_passed(lane: Lane, released: tuple[Ended, Any]) -> None:
    ended, _ = released
    told = lane.shop.verdict_of("v3.0.0")
    assert 0 < told["seconds"] <= ended.seconds
    instants = [event["at"] for event in told["timeline"]]
    assert instants == sorted(instants)
    assert all(0 <= event["seconds"] <= ended.seconds for event in told["timeline"])
    assert max(instants) <= ended.seconds


def test_history_of_a_release_through_jumps_is_in_the_order_of_what_happened(lane: Lane, released: Any) -> None:
    _, entries = released
    numbers = [entry["seq"] for entry in entries]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert lane.site().journal.damage() == []
    told = records(lane.site().journal.entries())[-1]
    assert (told.intent.version, told.outcome, 0 < told.seconds < HOUR) == ("v3.0.0", "promoted", True)
    assert lane.site().observe().drift == ()


def test_version_before_the_jumps_is_the_one_to_go_back_to(lane: Lane, released: Any) -> None:
    """And no version counts as older than it is for the hour at which it came."""
    site = lane.site()
    assert [artifact.version for artifact in site.platform.retained()] == ["v3.0.0", "v2.0.0", "v1.0.0"]
    assert json.loads(lane.shop.cakravia("rollback", "status", "--json").output)["target"]["version"] == "v2.0.0"


def test_release_that_died_days_ago_by_the_clock_is_recovered(lane: Lane, released: Any) -> None:
    ended = lane.release("rollback", "v2.0.0", death="clock-72@prove.begins,SIGKILL@switch.done")
    assert ended.status == -9, ended.output
    jump(lane.shop.folder, 120)
    recovered = lane.shop.cakravia("recover")
    assert recovered.status == 0, recovered.output
    assert lane.shop.serving() == "v3.0.0"
    assert lane._suffered_since(0)[0] == []
    site = lane.site()
    assert [entry.event for entry in site.journal.entries()].count("lock.taken_over") == 1
    assert records(site.journal.entries())[-1].outcome == "rolled back"
    assert (site.observe().drift, site.journal.damage()) == ((), [])


LOOKS_AT_THE_LOCK = "mount --bind {stat} /proc/stat && exec {python} -c '{script}' {lock}"
SCRIPT = (
    "import sys, pathlib; from cakravia_verify.site.lock import Lock; print(Lock(pathlib.Path(sys.argv[1])).holder())"
)


def test_living_holder_of_the_lock_is_known_whatever_became_of_the_clock(tmp_path: Path) -> None:
    """By the kernel the machine was started at another instant for every setting of its clock; so was each process."""
    lock = Lock(tmp_path / "lock")
    lock.acquire("a deploy")
    stat = Path("/proc/stat").read_text()
    began = int(stat.split("btime ")[1].split()[0])
    (tmp_path / "stat").write_text(stat.replace(f"btime {began}", f"btime {began - 86_400}"))
    script = LOOKS_AT_THE_LOCK.format(stat=tmp_path / "stat", python=sys.executable, script=SCRIPT, lock=lock.path)
    looked = subprocess.run(
        ["unshare", *((), ("-r",))[os.geteuid() != 0], "-m", "sh", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
    )
    lock.release()
    if "unshare" in looked.stderr or "mount" in looked.stderr:
        pytest.skip(f"needs the right to make a mount namespace: {looked.stderr.strip()}")
    assert "a deploy" in looked.stdout, looked.stderr
