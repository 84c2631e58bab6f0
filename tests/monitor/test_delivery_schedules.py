"""Random schedules of channel failures and SIGKILL: every message arrives at least once, in order, none is lost."""

from __future__ import annotations

import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cakravia_verify.monitor.alerts.book import FILE_NAME, open_book
from cakravia_verify.monitor.database import reading
from cakravia_verify.monitor.notify.message import Message, Urgency
from cakravia_verify.monitor.notify.outbox import Outbox, recent_messages
from cakravia_verify.slots import Colour
from tests.monitor.live_site import LiveSite, is_open
from tests.monitor.notify.receivers import HttpReceiver, http_receiver

pytestmark = pytest.mark.real
SCHEDULES = 200 if os.environ.get("CAKRAVIA_TEST_SLOW") else 2
INTERVAL = 0.2


@pytest.fixture(scope="module")
def receiver() -> Iterator[HttpReceiver]:
    with http_receiver() as opened:
        yield opened


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, receiver: HttpReceiver) -> Iterator[LiveSite]:
    channel = (
        f'[[notify.channels]]\nname = "ops"\nkind = "webhook"\nurl = "{receiver.url}"\ntimeout = 0.5\nleast = "info"\n'
    )
    made = LiveSite(
        tmp_path_factory.mktemp("delivery") / "site",
        interval=INTERVAL,
        timeout=INTERVAL,
        monitor="vantage = []\ndown = 1\nup = 1\n",
        rest=channel,
    )
    made.deploy("v1")
    yield made
    made.tear_down()


class Schedule:
    """One random course: the receiver is up, refuses, or answers late; the monitor is killed and started again.

    Faults of the site make the monitor tell of them, and another process puts messages into the same outbox.
    """

    def __init__(self, site: LiveSite, receiver: HttpReceiver, seed: int) -> None:
        self.site = site
        self.receiver = receiver
        self.chance = random.Random(seed)
        self.folder = site.folder / ".cakravia" / "monitor"
        shutil.rmtree(self.folder, ignore_errors=True)
        receiver.accepted.clear()
        self.process = site.start_monitor()

    def run(self) -> None:
        self._await_monitor()
        for number in range(self.chance.randint(3, 5)):
            self._disturb()
            self.site.order(Colour.BLUE, self.chance.choice(["error", "error", "", "sick"]))
            self._put(number)
            time.sleep(self.chance.uniform(0.0, 5 * INTERVAL))
        self.receiver.status_of = lambda _: 200
        self.site.order(Colour.BLUE, "error")
        self._await_monitor()
        self.site.await_state(is_open("site"))

    def _put(self, number: int) -> None:
        """Store some messages as a release does, beside the monitor."""
        with closing(open_book(self.folder)) as database:
            outbox = Outbox(database, channels={"ops": Urgency.INFO})
            for each in range(self.chance.randint(0, 2)):
                name = f"release-{number}-{each}"
                outbox.put([Message(name, "shop", time.time(), "release", Urgency.INFO, name, "text")])

    def _disturb(self) -> None:
        match self.chance.choice(["up", "refuse", "late", "kill", "kill"]):
            case "up":
                self.receiver.status_of = lambda _: 200
            case "refuse":
                self.receiver.status_of = lambda _: 503
            case "late":
                late = threading.Event()
                self.receiver.status_of = lambda _: 200 if not late.wait(0.7) else 503
            case "kill":
                self.process.send_signal(signal.SIGKILL)
                self.process.wait(10)
                self.process = self.site.start_monitor()
                if self.chance.random() < 0.7:
                    self._await_monitor()

    def _await_monitor(self) -> None:
        number = self.process.pid
        self.site.await_state(lambda state: state.get("pid") == number and "users" in state["facts"])


def stored_ids(folder: Path) -> list[str]:
    with reading(folder / FILE_NAME) as connection:
        return [message.id for _, message, _ in recent_messages(connection, last=5000)]


@pytest.mark.parametrize("seed", range(SCHEDULES))
def test_every_message_arrives_in_order_whatever_fails(seed: int, site: LiveSite, receiver: HttpReceiver) -> None:
    schedule = Schedule(site, receiver, seed)
    try:
        schedule.run()
        ends = time.monotonic() + 40
        while True:
            stored = stored_ids(schedule.folder)
            arrived = list(dict.fromkeys(body["id"] for body in receiver.accepted))
            if arrived == stored and any("site" in each for each in stored):
                break
            assert time.monotonic() < ends, (arrived, stored, site.log.read_text()[-3000:])
            time.sleep(0.2)
    finally:
        schedule.process.kill()
        schedule.process.wait(10)
        site.order(Colour.BLUE, "")
