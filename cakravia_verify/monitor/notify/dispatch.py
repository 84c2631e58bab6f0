"""Messages of a release: handed to a process of their own, so that no channel can fail or delay the release."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from cakravia_verify.monitor.alerts.book import open_book
from cakravia_verify.monitor.log import open_log
from cakravia_verify.monitor.notify.assembly import least_urgencies, open_channel
from cakravia_verify.monitor.notify.channel import Channel
from cakravia_verify.monitor.notify.courier import Courier
from cakravia_verify.monitor.notify.message import Message, Urgency, message_from
from cakravia_verify.monitor.notify.outbox import Outbox
from cakravia_verify.monitor.place import MonitorPlace, place_of
from cakravia_verify.settings.models import Settings
from cakravia_verify.settings.monitor import NotifySettings
from cakravia_verify.system.clock import SYSTEM_CLOCK, Clock, Deadline

# How long the process tries. What is left then waits in the outbox for a monitor, or for the next message.
DISPATCH_SECONDS: Final = 60.0
# The shell ends at once, so that no process of ours has a child that it must wait for.
_IN_THE_BACKGROUND: Final = 'exec 3<&0; "$@" <&3 3<&- &'
_START_SECONDS: Final = 5.0
_PROGRAM: Final = "from cakravia_verify.monitor.notify.dispatch import main; main()"


@dataclass(frozen=True)
class Parcel:
    """A message, and where it goes. Paths of secrets start from `root`."""

    message: Message
    notify: NotifySettings
    root: Path
    folder: Path

    def as_json(self) -> str:
        notify = self.notify.model_dump(mode="json")
        row = {"message": self.message.as_json(), "notify": notify, "root": str(self.root), "folder": str(self.folder)}
        return json.dumps(row)


def parcel_from(content: str) -> Parcel:
    """Return the parcel that `as_json` wrote."""
    row = json.loads(content)
    notify = NotifySettings.model_validate(row["notify"])
    return Parcel(message_from(row["message"]), notify, Path(row["root"]), Path(row["folder"]))


def send_apart(message: Message, settings: Settings) -> None:
    """Start a process that delivers the message, and return at once. It outlives this process and its terminal.

    Raises OSError or subprocess.SubprocessError if no process can be started.
    """
    parcel = Parcel(message, settings.notify, settings.root, place_of(settings).folder)
    subprocess.run(
        ["sh", "-c", _IN_THE_BACKGROUND, "sh", sys.executable, "-P", "-c", _PROGRAM],
        input=parcel.as_json().encode(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=settings.root,
        start_new_session=True,
        timeout=_START_SECONDS,
        check=True,
    )


def main() -> None:
    """Deliver the parcel on standard input."""
    parcel = parcel_from(sys.stdin.read())
    deliver(parcel, log=open_log(MonitorPlace(parcel.folder).log))


def deliver(
    parcel: Parcel, *, log: Callable[[str], None], seconds: float = DISPATCH_SECONDS, clock: Clock = SYSTEM_CLOCK
) -> None:
    """Put the message into the outbox, and carry it to every channel unless a monitor runs, which does that.

    A disk that is full keeps the message out of the outbox; it is sent all the same.
    """
    with closing(open_book(parcel.folder)) as database:
        outbox = Outbox(database, channels=least_urgencies(parcel.notify))
        try:
            outbox.put([parcel.message])
        except (sqlite3.Error, OSError) as error:
            log(f"message {parcel.message.id} could not be stored, and is sent once: {error}")
            _side_by_side([partial(_send, channel, parcel.message, log) for channel in _wanting(parcel)])
            return
        if MonitorPlace(parcel.folder).is_running():
            return
        deadline = Deadline("the messages are delivered", seconds, clock=clock)
        couriers = [
            Courier(outbox, open_channel(each, parcel.root), log=log, clock=clock) for each in parcel.notify.channels
        ]
        _side_by_side([partial(_carry, courier, deadline) for courier in couriers])


def _side_by_side(actions: Sequence[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=action) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _wanting(parcel: Parcel) -> Iterator[Channel]:
    for each in parcel.notify.channels:
        if parcel.message.urgency.rank >= Urgency(each.least).rank:
            yield open_channel(each, parcel.root)


def _send(channel: Channel, message: Message, log: Callable[[str], None]) -> None:
    try:
        channel.send(message)
    except Exception as error:  # the log has it, and no one waits for it
        log(f"message {message.id} was not delivered by {channel.name}: {type(error).__name__}")


def _carry(courier: Courier, deadline: Deadline) -> None:
    """Deliver what waits for one channel until nothing does, or the deadline is over."""
    while courier.has_work and not deadline.is_over:
        deadline.clock.sleep(min(courier.deliver_next(), deadline.remaining))
