"""The monitor of the live site: it watches, stores, tells and shows. Nothing is sent, and nothing changes."""

from cakravia_verify.api import MonitorView


def test_the_monitor_runs_and_judges(monitor: MonitorView) -> None:
    assert monitor.is_running, "start it: cakravia monitor run, or: systemctl start cakravia-monitor"
    assert monitor.is_judging, f"its newest judgement is {monitor.age:.0f} s old: cakravia monitor logs"


def test_every_source_reports(monitor: MonitorView) -> None:
    assert monitor.silent_sources == []


def test_the_monitor_has_no_trouble_of_its_own(monitor: MonitorView) -> None:
    assert monitor.trouble == ""


def test_every_endpoint_is_probed_on_users_way_and_on_both_slots(monitor: MonitorView) -> None:
    assert monitor.unprobed == []


def test_the_monitor_sees_the_slot_and_version_that_users_get(monitor: MonitorView) -> None:
    assert monitor.seen == monitor.served


def test_samples_are_stored(monitor: MonitorView) -> None:
    assert monitor.newest_sample_age < monitor.longest_sample_age


def test_no_alert_is_open(monitor: MonitorView) -> None:
    assert monitor.open_alerts == []


def test_no_message_waits_for_long(monitor: MonitorView) -> None:
    assert monitor.overdue_messages == []


def test_an_outage_would_fire_and_resolve(monitor: MonitorView) -> None:
    rehearsal = monitor.rehearsal
    assert rehearsal.has_fired
    assert rehearsal.bad_rounds <= monitor.most_bad_rounds
    assert rehearsal.good_rounds <= monitor.most_good_rounds


def test_an_outage_would_be_told_on_every_channel(monitor: MonitorView) -> None:
    assert monitor.untold_channels == []


def test_every_channel_has_its_secrets(monitor: MonitorView) -> None:
    assert monitor.unusable_channels == []


def test_strangers_do_not_get_the_page(monitor: MonitorView) -> None:
    assert monitor.pages_for_strangers() == []


def test_the_page_is_up_to_date(monitor: MonitorView) -> None:
    assert monitor.page_trouble() == ""
