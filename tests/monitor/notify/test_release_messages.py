"""Messages of a release: what they say, and that a bad channel does not stop the delivery to others."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from cakravia_verify.monitor.notify.dispatch import Parcel, deliver, parcel_from, send_apart
from cakravia_verify.monitor.notify.message import Message, Urgency
from cakravia_verify.monitor.notify.release_message import ReleaseTopic, begun_message, end_message, stuck_message
from cakravia_verify.monitor.place import MonitorPlace
from cakravia_verify.report.document import ReleaseDocument
from cakravia_verify.settings.models import Settings
from cakravia_verify.settings.monitor import ChannelSettings, NotifySettings
from cakravia_verify.system.clock import Deadline, poll
from cakravia_verify.testing.memory import FakeClock
from tests.memory_stage import Stage
from tests.monitor.notify.receivers import HttpReceiver, http_receiver
from tests.report import samples

LINK = "https://git.example.com/shop/actions/runs/7"


def told(document: ReleaseDocument) -> Message:
    return end_message(document, link=LINK)


def channel(name: str, url: str, *, timeout: float = 5.0) -> ChannelSettings:
    return ChannelSettings(name=name, kind="webhook", url=url, least="info", timeout=timeout)


def parcel(tmp_path: Path, *channels: ChannelSettings, number: int = 1) -> Parcel:
    message = Message(f"m-{number}", "shop", FakeClock().wall(), ReleaseTopic.BEGUN, Urgency.INFO, "title", "text")
    return Parcel(message, NotifySettings(channels=channels), tmp_path, tmp_path / "monitor")


@pytest.mark.parametrize(
    ("document", "topic", "urgency"),
    [
        (samples.promoted(), ReleaseTopic.VERDICT, Urgency.INFO),
        (samples.rolled_back(), ReleaseTopic.ROLLED_BACK, Urgency.WARNING),
        (samples.inconclusive(), ReleaseTopic.ROLLED_BACK, Urgency.WARNING),
        (replace(samples.rolled_back(), exit_status=11), ReleaseTopic.NEEDS_A_PERSON, Urgency.PAGE),
    ],
    ids=["promoted", "rolled back", "inconclusive", "stuck"],
)
def test_each_end_has_its_topic_and_urgency(document: ReleaseDocument, topic: str, urgency: Urgency) -> None:
    assert (told(document).topic, told(document).urgency) == (topic, urgency)


def test_the_end_is_told_with_version_reason_figures_link_and_next_command() -> None:
    message = told(replace(samples.rolled_back(), reason="Faster checkout"))
    version = samples.rolled_back().version
    for words in (version, "ROLL BACK", "Reason: Faster checkout", "; Lost ", "Latency p99", LINK, "Next: "):
        assert words in f"{message.title}\n{message.text}"


def test_the_begin_is_told_with_what_users_have_now(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.deploy("v1")
    intent = replace(stage.release("v2").intent, reason="why\n::error::not")
    message = begun_message(intent, site="shop", who="me@here", link=LINK)
    assert message.text.splitlines()[0] == "v2 goes into green; users are on v1 (blue)"
    assert "Reason: why ::error::not" in message.text.splitlines()
    assert (message.id, message.topic) == (f"{intent.release}-release-begun", "release-begun")


def test_a_release_that_could_not_be_undone_calls_a_person() -> None:
    message = stuck_message("blue does not stop", site="shop", link="")
    assert (message.urgency, "blue does not stop" in message.text) == (Urgency.PAGE, True)


def test_a_parcel_is_the_same_after_its_way_to_the_other_process(tmp_path: Path) -> None:
    sent = parcel(tmp_path, channel("ops", "http://127.0.0.1:9/secret"))
    assert parcel_from(sent.as_json()) == sent


def test_a_channel_that_refuses_keeps_no_other_waiting_and_gets_it_later(tmp_path: Path) -> None:
    clock, lines = FakeClock(), list[str]()
    with http_receiver() as good, http_receiver() as bad:
        bad.status_of = lambda number: 500
        both = (channel("good", good.url), channel("bad", bad.url))
        deliver(parcel(tmp_path, *both), log=lines.append, seconds=20.0, clock=clock)
        assert ids(good) == ["m-1"]
        assert ids(bad) == []
        assert any("was not delivered by bad" in line for line in lines)
        bad.status_of = lambda number: 200
        clock.now += 300
        deliver(parcel(tmp_path, *both, number=2), log=lines.append, seconds=20.0, clock=clock)
        assert ids(good) == ["m-1", "m-2"]
        assert ids(bad) == ["m-1", "m-2"]


def test_a_running_monitor_delivers_what_the_release_put_into_its_outbox(tmp_path: Path) -> None:
    sent = parcel(tmp_path, channel("ops", "http://127.0.0.1:9/"))
    handle = MonitorPlace(sent.folder).claim()
    try:
        deliver(sent, log=lambda line: pytest.fail(line))
    finally:
        os.close(handle)
    with http_receiver() as receiver:
        other = parcel(tmp_path, channel("ops", receiver.url), number=2)
        deliver(other, log=lambda line: None)
        assert ids(receiver) == ["m-1", "m-2"]


def test_a_message_is_sent_also_if_it_cannot_be_stored(tmp_path: Path) -> None:
    with http_receiver() as receiver:
        sent = parcel(tmp_path, channel("ops", receiver.url))
        (sent.folder / "alerts.db").mkdir(parents=True)
        deliver(sent, log=lambda line: None, seconds=5.0, clock=FakeClock())
        assert ids(receiver) == ["m-1"]


@pytest.mark.check
def test_a_slow_channel_does_not_delay_the_sender(tmp_path: Path) -> None:
    answers = threading.Event()

    def wait_and_accept(number: int) -> int:
        return 200 if answers.wait(30.0) else 500

    with http_receiver() as receiver:
        receiver.status_of = wait_and_accept
        settings = Settings(
            notify=NotifySettings(channels=(channel("ops", receiver.url, timeout=60.0),)), root=tmp_path
        )
        send_apart(parcel(tmp_path).message, settings)
        assert ids(receiver) == []
        answers.set()
        poll(lambda: ids(receiver) == ["m-1"], deadline=Deadline("the message arrives", 30.0))


def ids(receiver: HttpReceiver) -> list[str]:
    return [body["id"] for body in receiver.accepted]
