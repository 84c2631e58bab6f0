"""Where the real nginx writes which request, and how its logs stay within bounds."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from cakravia_verify.errors import SettingsError
from cakravia_verify.platforms.process.nginx import LocalNginx
from cakravia_verify.settings.loading import load_settings
from cakravia_verify.slots import Colour
from cakravia_verify.system.clock import poll
from cakravia_verify.system.log_files import LONGEST_LOG, LogCuts, keep_long_twice
from cakravia_verify.traffic.records.rows import FOLLOW_UP
from tests.platforms.process.nginx.conftest import Front, deadline

# As nginx itself, a load balancer and a measured run name requests.
EVERYDAY = ("f" * 32, "1f0e5c9a-8f6c-4c1e-9b7a-3f2d1c0b9a8f", "")
MEASURED = "20261123-153205-deploy-v1.2.0-ab12-7"


def ask_with(front: Front, request_id: str, path: str = "/") -> None:
    assert front.ask(path, headers={"X-Request-ID": request_id} if request_id else {}).status == 200


def ids(log: Path) -> list[str]:
    return [json.loads(line)["id"] for line in log.read_text().splitlines()] if log.exists() else []


def lines(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


def make_long(log: Path) -> None:
    """As long as it may be and a byte longer, without taking the place on the disk."""
    log.touch()
    os.truncate(log, LONGEST_LOG + 1)


@pytest.fixture
def telling(front: Front) -> LocalNginx:
    """A proxy on blue that writes everyday requests to a file."""
    proxy = front.nginx(access_log="file")
    proxy.start(Colour.BLUE, deadline=deadline())
    return proxy


def test_a_request_that_follows_from_a_measured_one_is_measured_too(front: Front, running: LocalNginx) -> None:
    """Pages of a journey and streams that are opened again have a second number."""
    wanted = [MEASURED, f"{MEASURED}{FOLLOW_UP}1", f"{MEASURED}{FOLLOW_UP}12"]
    for request_id in wanted:
        ask_with(front, request_id)
    poll(lambda: ids(running.access_log) == wanted, deadline=deadline(), every=0.01)


def test_the_ledgers_log_does_not_grow_by_everyday_requests(front: Front, running: LocalNginx) -> None:
    for request_id in (*EVERYDAY, MEASURED):
        ask_with(front, request_id)
    poll(lambda: ids(running.access_log) == [MEASURED], deadline=deadline(), every=0.01)
    assert not (front.folder / "everyday.log").exists()


def test_every_request_is_written_exactly_once(front: Front, telling: LocalNginx) -> None:
    for request_id in (*EVERYDAY, MEASURED):
        ask_with(front, request_id)
    everyday = front.folder / "everyday.log"
    poll(lambda: len(lines(everyday)) + len(ids(telling.access_log)) == 4, deadline=deadline(), every=0.01)
    assert (len(lines(everyday)), ids(telling.access_log)) == (3, [MEASURED])


def test_everyday_requests_can_go_to_a_syslog(front: Front) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as syslog:
        syslog.bind(("127.0.0.1", 0))
        syslog.settimeout(10)
        proxy = front.nginx(access_log=f"syslog:server=127.0.0.1:{syslog.getsockname()[1]}")
        proxy.start(Colour.BLUE, deadline=deadline())
        ask_with(front, MEASURED, "/measured")
        ask_with(front, "", "/everyday")
        assert b"/everyday" in syslog.recv(4096)


def test_a_long_ledger_is_emptied_and_takes_the_next_request_from_its_start(front: Front, running: LocalNginx) -> None:
    make_long(running.access_log)
    running.bound_logs()
    cuts = LogCuts()
    cuts.remember(running.access_log)
    ask_with(front, MEASURED)
    poll(lambda: ids(running.access_log) == [MEASURED], deadline=deadline(), every=0.01)
    copied = cuts.copy(running.access_log, front.folder / "copy")
    assert copied is not None
    assert ids(copied) == [MEASURED]


def test_a_ledger_within_its_bound_is_left_alone(front: Front, running: LocalNginx) -> None:
    ask_with(front, MEASURED)
    poll(lambda: ids(running.access_log) == [MEASURED], deadline=deadline(), every=0.01)
    running.bound_logs()
    assert ids(running.access_log) == [MEASURED]


def test_long_everyday_logs_are_renamed_and_nginx_reopens_them(front: Front, telling: LocalNginx) -> None:
    everyday, error_log = front.folder / "everyday.log", front.folder / "error.log"
    for log in (everyday, error_log):
        make_long(log)
    telling.bound_logs()
    poll(lambda: everyday.exists() and error_log.exists(), deadline=deadline(), every=0.01)

    def is_taken_up() -> bool:
        ask_with(front, "", "/asked")
        return any("/asked" in line for line in lines(everyday))

    poll(is_taken_up, deadline=deadline(), every=0.01)
    assert [log.with_name(f"{log.name}.1").stat().st_size > LONGEST_LOG for log in (everyday, error_log)] == [True] * 2


def test_no_request_is_lost_while_logs_are_bounded(front: Front, telling: LocalNginx) -> None:
    make_long(front.folder / "everyday.log")
    before = telling.observe().generation
    for number in range(40):
        if number % 10 == 5:
            make_long(telling.access_log)
            telling.bound_logs()
        ask_with(front, f"run-{number}")
    assert telling.observe().generation == before
    poll(lambda: ids(telling.access_log)[-1:] == ["run-39"], deadline=deadline(), every=0.01)
    # nginx writes the line after the answer, so that of the request before the cut may come after it.
    assert ids(telling.access_log)[-5:] == [f"run-{number}" for number in range(35, 40)]


def test_a_writer_that_cannot_reopen_its_log_continues_in_the_emptied_one(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    with log.open("ab", buffering=0) as output:
        make_long(log)
        keep_long_twice(log)
        output.write(b"and on\n")
    assert log.read_bytes() == b"and on\n"
    assert (tmp_path / "app.log.1").stat().st_size == LONGEST_LOG + 1


def test_everyday_requests_to_standard_output_need_a_container(tmp_path: Path) -> None:
    (tmp_path / "cakravia.toml").write_text('[proxy]\naccess_log = "stdout"\n')
    with pytest.raises(SettingsError, match=r'needs .* platform = "docker"'):
        load_settings(tmp_path / "cakravia.toml", environment={})


@pytest.mark.parametrize("value", ["everyday.log", "syslog:server=a b", "syslog:server=a;", "off", "syslog:"])
def test_an_access_log_value_that_nginx_would_misread_is_refused(tmp_path: Path, value: str) -> None:
    (tmp_path / "cakravia.toml").write_text(f'[proxy]\naccess_log = "{value}"\n')
    with pytest.raises(SettingsError, match="access_log"):
        load_settings(tmp_path / "cakravia.toml", environment={})
