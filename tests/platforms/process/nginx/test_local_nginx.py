"""The real nginx: who answers, from when on, and what survives which accident."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import threading
from pathlib import Path

import psutil
import pytest

from cakravia_verify.errors import CakraviaError, DeadlineExceeded, MissingTool, ProxyError, UsageError
from cakravia_verify.platforms.process.nginx import LocalNginx
from cakravia_verify.slots import Address, Colour
from cakravia_verify.system.clock import poll
from cakravia_verify.system.processes import has_ended
from tests.platforms.process.nginx.conftest import Front, ask_over, deadline, free_port

BOTH = (Colour.GREEN, Colour.BLUE, Colour.GREEN)


def test_users_reach_the_slot_that_the_proxy_was_started_with(front: Front) -> None:
    front.nginx().start(Colour.GREEN, deadline=deadline())
    assert front.ask().slot == "green"


def test_a_switch_is_effective_for_the_next_request_both_ways(front: Front, running: LocalNginx) -> None:
    for colour in BOTH * 5:
        running.point_at(colour, deadline=deadline())
        assert front.ask().slot == colour


def test_a_switch_is_effective_on_open_connections_and_keeps_them(front: Front, running: LocalNginx) -> None:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", front.port, timeout=10)) as connection:
        assert ask_over(connection, "/").slot == "blue"
        kept = connection.sock
        for colour in BOTH:
            running.point_at(colour, deadline=deadline())
            assert ask_over(connection, "/").slot == colour
        assert connection.sock is kept


def test_a_switch_needs_no_reload(running: LocalNginx) -> None:
    before = running.observe().generation
    running.point_at(Colour.GREEN, deadline=deadline())
    assert running.observe().generation == before


def test_a_request_under_way_is_finished_by_the_slot_it_began_on(front: Front, running: LocalNginx) -> None:
    answers: list[str] = []
    asking = threading.Thread(target=lambda: answers.append(front.ask("/slow").slot))
    asking.start()
    assert front.blue.entered.wait(10)
    running.point_at(Colour.GREEN, deadline=deadline())
    assert front.ask().slot == "green"
    front.blue.may_go_on.set()
    asking.join(10)
    assert answers == ["blue"]


def test_only_the_proxy_names_the_slot_that_answered(front: Front, running: LocalNginx) -> None:
    assert front.ask().served_slot == ["blue"]
    running.point_at(Colour.GREEN, deadline=deadline())
    assert front.ask().served_slot == ["green"]


def test_an_error_of_the_application_passes_as_it_is(front: Front, running: LocalNginx) -> None:
    answer = front.ask("/nothing")
    assert (answer.status, answer.slot, answer.served_slot) == (404, "blue", ["blue"])


def test_the_request_id_of_the_client_reaches_application_and_log(front: Front, running: LocalNginx) -> None:
    answer = front.ask("/", headers={"X-Request-ID": 'ru"n-1'})
    assert json.loads(answer.body)["headers"]["X-Request-ID"] == 'ru"n-1'
    poll(lambda: running.access_log.stat().st_size > 0, deadline=deadline(), every=0.01)
    rows = [json.loads(line) for line in running.access_log.read_text().splitlines()]
    assert (rows[-1]["id"], rows[-1]["slot"], rows[-1]["upstream"]) == ('ru"n-1', "blue", str(front.blue.address))
    assert rows[-1]["completion"] == "OK"


def test_a_request_without_an_id_gets_one(front: Front, running: LocalNginx) -> None:
    assert json.loads(front.ask().body)["headers"]["X-Request-ID"]


# Failover.


def test_without_failover_a_dead_slot_is_a_502_and_not_the_other_ones_answer(front: Front, running: LocalNginx) -> None:
    front.blue.end()
    assert front.ask().status == 502
    assert front.green.seen == []


def test_with_failover_the_other_slot_answers_and_is_named(front: Front, running: LocalNginx) -> None:
    running.set_failover(allowed=True)
    assert front.ask().slot == "blue"
    front.blue.end()
    answer = front.ask()
    assert (answer.slot, answer.served_slot) == ("green", ["green"])
    running.set_failover(allowed=False)
    assert front.ask().status == 502


def test_failover_that_the_settings_forbid_is_never_switched_on(front: Front) -> None:
    proxy = front.nginx(failover=False)
    proxy.start(Colour.BLUE, deadline=deadline())
    proxy.set_failover(allowed=True)
    assert not proxy.observe().has_failover


def test_a_post_that_was_sent_is_never_sent_again(front: Front, running: LocalNginx) -> None:
    running.set_failover(allowed=True)
    answer = front.ask("/breaks", method="POST", body=b"order")
    assert answer.status == 502
    assert front.blue.seen + front.green.seen == ["POST /breaks"]


def test_a_post_that_could_not_be_sent_goes_to_the_other_slot(front: Front, running: LocalNginx) -> None:
    running.set_failover(allowed=True)
    front.blue.end()
    assert front.ask("/", method="POST", body=b"order").slot == "green"
    assert front.green.seen == ["POST /"]


def test_a_broken_get_is_answered_by_the_other_slot_only_with_failover(front: Front, running: LocalNginx) -> None:
    assert front.ask("/breaks").status == 502
    assert front.green.seen == []


# Configuration.


def test_starting_twice_is_one_proxy(front: Front, running: LocalNginx) -> None:
    before = running.observe().generation
    front.nginx().start(Colour.GREEN, deadline=deadline())
    assert running.observe().generation == before
    assert front.ask().slot == "green"


def test_the_present_configuration_is_not_loaded_again(front: Front, running: LocalNginx) -> None:
    before = running.observe().generation
    assert not running.refresh(deadline=deadline())
    assert running.observe().generation == before


def test_a_changed_configuration_is_loaded_once_by_a_new_generation(front: Front, running: LocalNginx) -> None:
    before = running.observe().generation
    changed = front.nginx(max_body="1k")
    assert changed.refresh(deadline=deadline())
    assert not changed.refresh(deadline=deadline())
    # A worker that takes no request any more may live for some milliseconds.
    old = set(before.split(","))
    poll(lambda: old.isdisjoint(changed.observe().generation.split(",")), deadline=deadline(), every=0.01)
    assert front.ask("/", method="POST", body=b"x" * 2000).status == 413


def test_a_configuration_written_but_never_loaded_is_loaded(front: Front, running: LocalNginx) -> None:
    changed = front.nginx(max_body="1k")
    changed._configuration.write(changed._configuration.rendered())
    assert changed.refresh(deadline=deadline())
    assert front.ask("/", method="POST", body=b"x" * 2000).status == 413


def test_a_configuration_that_nginx_refuses_leaves_the_running_one(front: Front, running: LocalNginx) -> None:
    configuration = (front.folder / "nginx.conf").read_text()
    generation = running.observe().generation
    with pytest.raises(ProxyError, match="refuses the configuration") as caught:
        front.nginx(client_idle=3600, max_body="9" * 30).refresh(deadline=deadline())
    assert caught.value.remedy
    assert (front.folder / "nginx.conf").read_text() == configuration
    assert running.observe().generation == generation
    assert front.ask().slot == "blue"
    assert not running.refresh(deadline=deadline())


@pytest.mark.parametrize("oddity", [" ", "'", '"', "$x", ";", "{", "}", "\\"])
def test_a_folder_that_nginx_cannot_read_is_refused_without_a_write(front: Front, oddity: str, tmp_path: Path) -> None:
    front.folder = tmp_path / f"st{oddity}ate"
    proxy = front.nginx()
    with pytest.raises(UsageError, match="nginx cannot use the state folder"):
        proxy.check()
    with pytest.raises(UsageError):
        proxy.start(Colour.BLUE, deadline=deadline())
    assert not front.folder.exists()


@pytest.mark.parametrize("name", ["sälig", "a#b", "per%cent", "star*", "a,b", "~home"])
def test_a_folder_with_an_unusual_but_harmless_name_works(front: Front, name: str) -> None:
    front.folder = front.folder / name
    front.nginx().start(Colour.GREEN, deadline=deadline())
    assert front.ask().slot == "green"


def test_a_port_of_another_process_is_named(front: Front) -> None:
    with socket.create_server(("127.0.0.1", front.port)):
        with pytest.raises(UsageError, match=f"in use by process {os.getpid()}"):
            front.nginx().check()
        with pytest.raises(UsageError, match="in use by"):
            front.nginx().start(Colour.BLUE, deadline=deadline())


def test_a_changed_port_of_another_process_is_named_before_a_reload(front: Front, running: LocalNginx) -> None:
    (configuration, generation) = ((front.folder / "nginx.conf").read_text(), running.observe().generation)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        moved = front.nginx(listen=f"127.0.0.1:{port}")
        for ask in (moved.check, lambda: moved.refresh(deadline=deadline())):
            with pytest.raises(UsageError, match=rf"listen: 127.0.0.1:{port} is in use by process {os.getpid()}"):
                ask()
    assert front.ask().slot == "blue"
    assert ((front.folder / "nginx.conf").read_text(), running.observe().generation) == (configuration, generation)
    assert moved.refresh(deadline=deadline())
    front.port = port
    assert front.ask().slot == "blue"


def test_an_address_that_overlaps_with_the_running_one_is_refused(front: Front, running: LocalNginx) -> None:
    wider = front.nginx(listen=f"0.0.0.0:{front.port}")
    with pytest.raises(UsageError, match="cannot change to") as caught:
        wider.refresh(deadline=deadline())
    assert "cakravia down" in caught.value.remedy
    assert front.ask().slot == "blue"
    front.nginx(listen=f"localhost:{front.port}").check()


def test_a_program_that_is_not_nginx_is_named(front: Front) -> None:
    front.binary = "/no/such/nginx"
    with pytest.raises(MissingTool, match="is not a program on this machine"):
        front.nginx().check()
    front.binary = "/bin/true"
    with pytest.raises(CakraviaError, match="does not print nginx's version"):
        front.nginx().check()


def test_a_check_of_a_running_proxy_passes_and_changes_nothing(front: Front, running: LocalNginx) -> None:
    before = running.observe()
    running.check()
    assert running.observe() == before


# Flags.


def test_every_flag_a_crash_can_leave_means_one_slot(front: Front, running: LocalNginx) -> None:
    flags = front.folder / "flags"
    (flags / ".green.active.999").touch()
    assert (running.observe().chosen, front.ask().slot) == (Colour.BLUE, "blue")
    (flags / "green.active").touch()
    assert (running.observe().chosen, front.ask().slot) == (Colour.GREEN, "green")
    (flags / "green.active").unlink()
    assert (running.observe().chosen, front.ask().slot) == (Colour.BLUE, "blue")


def test_a_folder_in_the_place_of_a_flag_has_no_effect_and_is_an_error(front: Front, running: LocalNginx) -> None:
    (front.folder / "flags" / "green.active").mkdir()
    assert (running.observe().chosen, front.ask().slot) == (Colour.BLUE, "blue")
    with pytest.raises(ProxyError, match="users are where they were"):
        running.point_at(Colour.GREEN, deadline=deadline())


def test_a_switch_outlives_the_proxy(front: Front, running: LocalNginx) -> None:
    running.point_at(Colour.GREEN, deadline=deadline())
    running.stop(deadline=deadline())
    assert running.observe().chosen is Colour.GREEN


# Accidents.


def killed_master(front: Front, proxy: LocalNginx) -> None:
    master = front.master
    os.kill(master, signal.SIGKILL)
    poll(lambda: str(proxy._family.master()) == "None", deadline=deadline(), every=0.01)


def test_workers_without_a_master_still_serve_and_switch(front: Front, running: LocalNginx) -> None:
    killed_master(front, running)
    assert running.observe().is_running
    running.point_at(Colour.GREEN, deadline=deadline())
    assert front.ask().slot == "green"
    running.check()


def test_a_refresh_replaces_a_killed_master_and_keeps_users_in_place(front: Front, running: LocalNginx) -> None:
    running.point_at(Colour.GREEN, deadline=deadline())
    killed_master(front, running)
    # The configuration is the one before: there is nothing to tell of it.
    assert not running.refresh(deadline=deadline())
    assert running._family.master() is not None
    assert front.ask().slot == "green"
    assert front.nginx(max_body="1k").refresh(deadline=deadline())


def test_a_new_master_loads_a_changed_configuration_and_reports_it(front: Front, running: LocalNginx) -> None:
    killed_master(front, running)
    assert front.nginx(max_body="1k").refresh(deadline=deadline())
    assert front.ask("/", method="POST", body=b"x" * 2000).status == 413


def test_a_request_held_by_an_orphaned_worker_is_finished(front: Front, running: LocalNginx) -> None:
    answers: list[str] = []
    asking = threading.Thread(target=lambda: answers.append(front.ask("/slow").slot))
    asking.start()
    assert front.blue.entered.wait(10)
    killed_master(front, running)
    running.start(Colour.GREEN, deadline=deadline())
    assert front.ask().slot == "green"
    front.blue.may_go_on.set()
    asking.join(10)
    assert answers == ["blue"]


def test_orphaned_workers_can_be_stopped(front: Front, running: LocalNginx) -> None:
    killed_master(front, running)
    running.stop(deadline=deadline())
    assert not running.observe().is_running
    running.start(Colour.BLUE, deadline=deadline())
    assert front.ask().slot == "blue"


def test_a_lost_pid_file_does_not_lose_the_master(front: Front, running: LocalNginx) -> None:
    (front.folder / "nginx.pid").unlink()
    assert running.observe().is_running
    running.stop(deadline=deadline())
    assert not running.observe().is_running


def test_a_pid_file_with_a_foreign_process_id_is_ignored(front: Front, running: LocalNginx) -> None:
    running.stop(deadline=deadline())
    (front.folder / "nginx.pid").write_text(f"{os.getpid()}\n")
    assert not running.observe().is_running
    running.stop(deadline=deadline())


def hung(running: LocalNginx) -> list[psutil.Process]:
    """All workers, none of which hears anything any more."""
    workers = [psutil.Process(int(pid)) for pid in running.observe().generation.split(",")]
    for worker in workers:
        worker.suspend()
    return workers


@pytest.mark.parametrize("has_master", [True, False])
def test_stopping_ends_hung_workers_and_the_next_start_serves(
    front: Front, running: LocalNginx, has_master: bool
) -> None:
    workers = hung(running)
    if not has_master:
        killed_master(front, running)
    running.stop(deadline=deadline(0.3))
    assert all(has_ended(worker) for worker in workers)
    assert not running.observe().is_running
    running.start(Colour.GREEN, deadline=deadline())
    assert front.ask().slot == "green"


def test_stopping_ends_a_worker_without_master_that_still_finishes_a_request(front: Front, running: LocalNginx) -> None:
    def ask() -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            front.ask("/slow")

    asking = threading.Thread(target=ask)
    asking.start()
    assert front.blue.entered.wait(10)
    workers = [psutil.Process(int(pid)) for pid in running.observe().generation.split(",")]
    killed_master(front, running)
    running.start(Colour.BLUE, deadline=deadline())
    assert not all(has_ended(worker) for worker in workers)
    running.stop(deadline=deadline(0.2))
    assert all(has_ended(worker) for worker in workers)
    front.blue.may_go_on.set()
    asking.join(10)


def test_hung_workers_without_a_master_are_replaced(front: Front, running: LocalNginx) -> None:
    workers = hung(running)
    killed_master(front, running)
    running.start(Colour.GREEN, deadline=deadline(3.0))
    assert all(has_ended(worker) for worker in workers)
    assert front.ask().slot == "green"


def test_a_hung_worker_does_not_stop_a_changed_configuration(front: Front, running: LocalNginx) -> None:
    workers = hung(running)
    assert front.nginx(max_body="1k").refresh(deadline=deadline(3.0))
    assert all(has_ended(worker) for worker in workers)
    assert front.ask("/", method="POST", body=b"x" * 2000).status == 413


def test_a_stopped_master_is_named_and_can_be_ended(front: Front, running: LocalNginx) -> None:
    psutil.Process(front.master).suspend()
    with pytest.raises(DeadlineExceeded, match=f"process {front.master} is stopped"):
        front.nginx(max_body="1k").refresh(deadline=deadline(0.5))
    running.stop(deadline=deadline(0.2))
    assert not running.observe().is_running


def test_a_copy_of_the_folder_does_not_own_the_nginx_of_the_original(front: Front, running: LocalNginx) -> None:
    copy = LocalNginx(
        running._settings.model_copy(update={"listen": f"127.0.0.1:{free_port()}"}),
        folder=Path(shutil.copytree(front.folder, front.folder.with_name("copy"))),
        upstreams={Colour.BLUE: front.blue.address, Colour.GREEN: front.green.address},
    )
    try:
        assert not copy.observe().is_running
        copy.stop(deadline=deadline())
        copy.start(Colour.GREEN, deadline=deadline())
        assert front.ask().slot == "blue"
    finally:
        copy.stop(deadline=deadline())
    assert running.observe().is_running
    assert front.ask().slot == "blue"


def test_a_folder_that_was_removed_under_a_running_nginx_is_made_whole(front: Front, running: LocalNginx) -> None:
    running.point_at(Colour.GREEN, deadline=deadline())
    master = front.master
    shutil.rmtree(front.folder)
    assert (running.observe().chosen, front.ask().slot) == (Colour.BLUE, "blue")
    running.set_failover(allowed=True)
    running.point_at(Colour.GREEN, deadline=deadline())
    assert front.ask().slot == "green"
    assert running.refresh(deadline=deadline())
    assert not running.refresh(deadline=deadline())
    assert (front.master, front.ask("/", headers={"X-Request-ID": "run-1"}).slot) == (master, "green")
    poll(lambda: '"run-1"' in running.access_log.read_text(), deadline=deadline(), every=0.01)
    assert front.ask("/", method="POST", body=b"x" * 1_000_000).status == 200


@pytest.mark.parametrize("name", ["nginx.conf", "flags", "temp", "access.log"])
def test_a_refresh_restores_each_missing_file_of_nginx(front: Front, running: LocalNginx, name: str) -> None:
    gone = front.folder / name
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    assert running.refresh(deadline=deadline())
    assert gone.exists()
    assert not running.refresh(deadline=deadline())


@pytest.mark.parametrize("colour", list(Colour))
def test_the_classic_switch_without_its_files_still_moves_users(front: Front, colour: Colour) -> None:
    proxy = front.nginx(switch="reload")
    proxy.start(Colour.GREEN, deadline=deadline())
    shutil.rmtree(front.folder)
    proxy.point_at(colour, deadline=deadline())
    assert (front.ask().slot, proxy.observe().chosen) == (colour, colour)


def test_the_classic_switch_made_whole_leaves_users_where_they_are(front: Front) -> None:
    proxy = front.nginx(switch="reload")
    proxy.start(Colour.GREEN, deadline=deadline())
    shutil.rmtree(front.folder)
    assert proxy.refresh(deadline=deadline())
    assert (front.ask().slot, proxy.observe().chosen) == ("green", Colour.GREEN)


def test_workers_without_a_master_and_without_files_are_found_and_replaced(front: Front, running: LocalNginx) -> None:
    killed_master(front, running)
    shutil.rmtree(front.folder)
    assert running.observe().is_running
    running.start(Colour.GREEN, deadline=deadline())
    assert front.ask().slot == "green"


def test_a_killed_worker_is_replaced_by_its_master(front: Front, running: LocalNginx) -> None:
    worker = int(running.observe().generation.split(",")[0])
    os.kill(worker, signal.SIGKILL)
    poll(lambda: str(worker) not in running.observe().generation, deadline=deadline(), every=0.01)
    assert front.ask().slot == "blue"


def test_a_stop_finishes_requests_in_flight_and_accepts_no_new_ones(front: Front, running: LocalNginx) -> None:
    answers: list[str] = []
    asking = threading.Thread(target=lambda: answers.append(front.ask("/slow").slot))
    asking.start()
    assert front.blue.entered.wait(10)
    stopping = threading.Thread(target=lambda: running.stop(deadline=deadline()))
    stopping.start()

    def is_closed() -> bool:
        try:
            socket.create_connection(("127.0.0.1", front.port), timeout=1).close()
        except OSError:
            return True
        return False

    poll(is_closed, deadline=deadline(), every=0.01)
    front.blue.may_go_on.set()
    asking.join(10)
    stopping.join(10)
    assert answers == ["blue"]
    assert not running.observe().is_running
    running.stop(deadline=deadline())


# The classic way.


def test_the_classic_switch_moves_users_both_ways_by_its_upstream_file(front: Front) -> None:
    proxy = front.nginx(switch="reload")
    proxy.start(Colour.BLUE, deadline=deadline())
    assert front.ask().served_slot == ["blue"]
    for colour in BOTH[:2]:
        proxy.point_at(colour, deadline=deadline())
        assert (proxy.observe().chosen, front.ask().slot) == (colour, colour)
        assert (front.folder / "upstream.conf").read_text() == (
            front.folder / f"upstream.{colour}.template"
        ).read_text()


def test_the_classic_switch_reloads_only_after_a_change(front: Front) -> None:
    proxy = front.nginx(switch="reload")
    proxy.start(Colour.BLUE, deadline=deadline())
    before = proxy.observe().generation
    proxy.point_at(Colour.BLUE, deadline=deadline())
    assert not proxy.refresh(deadline=deadline())
    assert proxy.observe().generation == before


def test_a_classic_switch_killed_before_its_reload_is_completed(front: Front) -> None:
    proxy = front.nginx(switch="reload")
    proxy.start(Colour.BLUE, deadline=deadline())
    proxy._configuration.write_upstream(Colour.GREEN)
    (front.folder / "nginx.conf.loaded").unlink()
    assert front.ask().slot == "blue"
    proxy.point_at(Colour.BLUE, deadline=deadline())
    assert front.ask().slot == "blue"
    assert proxy.observe().chosen is Colour.BLUE


@pytest.mark.parametrize(("one", "other"), [("flag", "reload"), ("reload", "flag")])
def test_changing_the_way_of_switching_leaves_users_where_they_are(front: Front, one: str, other: str) -> None:
    first = front.nginx(switch=one)
    first.start(Colour.BLUE, deadline=deadline())
    first.point_at(Colour.GREEN, deadline=deadline())
    second = front.nginx(switch=other)
    assert second.observe().chosen is Colour.GREEN
    assert second.refresh(deadline=deadline())
    assert (second.observe().chosen, front.ask().slot) == (Colour.GREEN, "green")
    second.point_at(Colour.BLUE, deadline=deadline())
    assert front.ask().slot == "blue"


def test_failover_does_not_come_back_with_the_way_of_switching_that_has_it(front: Front, running: LocalNginx) -> None:
    running.set_failover(allowed=True)
    classic = front.nginx(switch="reload")
    classic.refresh(deadline=deadline())
    assert not classic.observe().has_failover
    running.refresh(deadline=deadline())
    assert not running.observe().has_failover


def test_failover_can_be_forbidden_with_each_kind_of_switch(front: Front, running: LocalNginx) -> None:
    running.set_failover(allowed=True)
    front.nginx(switch="reload").set_failover(allowed=False)
    assert not running.observe().has_failover
    front.blue.end()
    assert front.ask().status == 502


def test_an_unreachable_upstream_is_a_502_without_a_slot_name(front: Front) -> None:
    dead = LocalNginx(
        front.nginx()._settings,
        folder=front.folder,
        upstreams={Colour.BLUE: Address("127.0.0.1", free_port()), Colour.GREEN: front.green.address},
    )
    dead.start(Colour.BLUE, deadline=deadline())
    assert front.ask().status == 502
