"""`cakravia supervise` on a real site: what is killed comes back, and users are served meanwhile."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from cakravia_verify.slots import Colour, Slot
from cakravia_verify.system.clock import Deadline, poll
from tests.plugin.sessions.shop import Running, Shop, Witness

QUICK = ("--bake", "0.5", "--set", "budget.min_requests=20", "--set", "budget.min_each=0")
# A version starts within seconds, also on a machine that does other things as well.
LONGEST = 60.0


class SupervisedShop(Shop):
    """A site with v2 in green and v1 warm in blue, and its supervisor in the background."""

    supervisor: Running

    def begin_supervisor(self) -> None:
        command = [sys.executable, "-m", "cakravia_verify.cli", *self.site, "supervise", "--interval", "0.2"]
        self.supervisor = self.begin(command, environment={})
        self.wait_for("it supervises", lambda: "supervising shop" in self.supervisor.text)

    def end_supervisor(self) -> int:
        self.supervisor.process.send_signal(signal.SIGTERM)
        return self.supervisor.wait(30).status

    def slot(self, colour: Colour) -> Slot | None:
        return self.observe().slots.at(colour)

    def kill(self, colour: Colour) -> str:
        """Kill the process of a slot, and return its identity."""
        slot = self.slot(colour)
        assert slot is not None
        os.kill(int(slot.identity.partition("@")[0]), signal.SIGKILL)
        return slot.identity

    def wait_for(self, what: str, question: Callable[[], bool]) -> None:
        deadline = Deadline(what, LONGEST)
        poll(question, deadline=deadline, every=0.1, observed=lambda: self.supervisor.text[-2000:])

    def is_anew(self, colour: Colour, killed: str) -> bool:
        """Return whether another process runs in the slot and answers users or stands by."""
        slot = self.slot(colour)
        return slot is not None and slot.identity != killed

    def is_whole(self) -> bool:
        state = self.observe()
        return state.served is Colour.GREEN and state.slots.blue is not None and not state.drift


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SupervisedShop]:
    site = SupervisedShop(tmp_path_factory.mktemp("supervised"))
    for version in ("v1.0.0", "v2.0.0"):
        deployed = site.deploy(version, *QUICK)
        assert deployed.status == 0, deployed.output
    site.begin_supervisor()
    yield site
    site.supervisor.process.kill()
    site.supervisor.process.wait(10)
    site.tear_down()


def test_the_killed_active_slot_comes_back_and_users_are_served(shop: SupervisedShop) -> None:
    with Witness(shop.users) as witness:
        killed = shop.kill(Colour.GREEN)
        shop.wait_for("users are back on green", lambda: shop.is_anew(Colour.GREEN, killed) and shop.is_whole())
    # The request in flight on the killed process alone; the warm slot answers the others.
    assert len(witness.failures) <= 1, witness.failures
    assert {slot for _, slot in witness.answers} == {"blue", "green"}


def test_the_killed_warm_slot_stands_by_again(shop: SupervisedShop) -> None:
    with Witness(shop.users) as witness:
        # The warm slot may still stand in for the one that the test before killed.
        shop.wait_for("green answers users", lambda: {slot for _, slot in witness.answers[-20:]} == {"green"})
        killed = shop.kill(Colour.BLUE)
        shop.wait_for("blue stands by", lambda: shop.is_anew(Colour.BLUE, killed) and shop.is_whole())
    assert witness.failures == []


def test_the_killed_master_of_nginx_is_replaced(shop: SupervisedShop) -> None:
    (master,) = shop.nginx()
    master.kill()
    shop.wait_for("another master runs", lambda: [each.pid for each in shop.nginx()] not in ([], [master.pid]))
    shop.wait_for("the site is whole", shop.is_whole)


def test_everything_comes_back_on_the_promoted_version_after_a_crash_of_all(shop: SupervisedShop) -> None:
    family = [each for master in shop.nginx() for each in (master, *master.children())]
    killed = [shop.kill(colour) for colour in Colour]
    for process in family:
        process.kill()
    psutil.wait_procs(family, timeout=10)
    shop.wait_for("the site is whole", lambda: shop.is_anew(Colour.BLUE, killed[0]) and shop.is_whole())
    assert shop.serving() == "v2.0.0"


def test_a_site_that_was_taken_down_stays_down_and_the_supervisor_ends_alone(shop: SupervisedShop) -> None:
    assert shop.cakravia("down").status == 0
    assert shop.cakravia("up").status == 0
    shop.wait_for("the site is whole", shop.is_whole)
    assert shop.end_supervisor() == 0
    assert shop.serving() == "v2.0.0"
    assert "the site keeps running" in shop.supervisor.text
    assert shop.cakravia("down").status == 0
    shop.begin_supervisor()
    assert shop.end_supervisor() == 0
    assert shop.observe().is_empty
    assert [entry["event"] for entry in shop.history()][-1] == "site.down"


def test_the_unit_starts_with_the_machine_and_leaves_the_slots_alone(shop: SupervisedShop, tmp_path: Path) -> None:
    installed = shop.cakravia("install", "--into", str(tmp_path))
    assert installed.status == 0, installed.output
    unit = tmp_path / "etc/systemd/system/cakravia-shop.service"
    text = unit.read_text()
    for line in ("Type=notify", "KillMode=process", "Restart=always", "WantedBy=multi-user.target"):
        assert line in text.splitlines()
    if program := shutil.which("systemd-analyze"):
        verified = subprocess.run([program, "verify", str(unit)], capture_output=True, text=True, check=False)
        assert str(unit) not in verified.stderr, verified.stderr
    assert shop.cakravia("install", "--remove", "--into", str(tmp_path)).status == 0
    assert not unit.exists()
    missing = shop.cakravia("install", "--remove", "--into", str(tmp_path))
    assert (missing.status, "does not exist" in missing.output) == (4, True)
