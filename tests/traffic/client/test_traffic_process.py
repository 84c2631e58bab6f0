"""The child process: real Locust, started, watched, stopped, and gone when its parent is."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from cakravia_verify.errors import TrafficError
from cakravia_verify.system.clock import SYSTEM_CLOCK, Deadline, poll
from cakravia_verify.traffic.plan.mix import MixEntry
from cakravia_verify.traffic.plan.plan import TrafficPlan
from cakravia_verify.traffic.records.rows import LOCUST_REPORT_FILE, REQUESTS_FILE, SUMMARY_FILE, read_rows
from cakravia_verify.traffic.run import TrafficRun

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.traffic.client.conftest import Serve

OK = b"HTTP/1.1 200 OK\r\nX-Deployment-Slot: blue\r\nX-Deployment-Version: v1\r\nContent-Length: 2\r\n\r\nhi"


def answer(accepted: socket.socket, number: int, head: bytes, body: bytes) -> bool:
    accepted.sendall(OK)
    return True


def plan(url: str, folder: Path, **settings: object) -> TrafficPlan:
    given = {"mix": (MixEntry("page"),), "users": 5, "rate": 100.0, "html_report": False, **settings}
    return TrafficPlan(url=url, records=str(folder / "records"), run="t", **given)  # type: ignore[arg-type]


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[TrafficRun]]:
    processes: list[TrafficRun] = []
    yield processes
    for process in processes:
        process.kill()


def flowing(started: list[TrafficRun], settings: TrafficPlan, requests: int = 20) -> TrafficRun:
    traffic = TrafficRun(settings, clock=SYSTEM_CLOCK)
    started.append(traffic)
    traffic.start(deadline=Deadline("traffic flows", 20), requests=requests)
    return traffic


def test_a_run_accounts_for_every_planned_request(serve: Serve, tmp_path: Path, started: list[TrafficRun]) -> None:
    traffic = flowing(started, plan(serve(answer).url, tmp_path, html_report=True))
    summary = traffic.stop(deadline=Deadline("traffic stops", 20))
    rows = read_rows(tmp_path / "records" / REQUESTS_FILE)
    assert summary.ended == "asked"
    assert summary.planned == summary.started == summary.finished == traffic.finished == len(rows)
    assert traffic.counts["answered"] == len(rows)
    assert {row.slot for row in rows} == {"blue"}
    assert not traffic.is_alive
    assert "page" in (tmp_path / "records" / LOCUST_REPORT_FILE).read_text()


def test_requests_in_flight_at_the_end_are_finished(serve: Serve, tmp_path: Path, started: list[TrafficRun]) -> None:
    def slow(accepted: socket.socket, number: int, head: bytes, body: bytes) -> bool:
        time.sleep(0.4)
        return answer(accepted, number, head, body)

    traffic = flowing(started, plan(serve(slow).url, tmp_path, users=20), requests=5)
    summary = traffic.stop(deadline=Deadline("traffic stops", 20))
    assert summary.unfinished == 0
    assert traffic.counts["answered"] == traffic.finished


def test_failures_are_counted_while_they_happen(serve: Serve, tmp_path: Path, started: list[TrafficRun]) -> None:
    def drops_every_fourth(accepted: socket.socket, number: int, head: bytes, body: bytes) -> bool:
        return bool(number % 4) and answer(accepted, number, head, body)

    traffic = flowing(started, plan(serve(drops_every_fourth).url, tmp_path))
    poll(lambda: traffic.follow() and len(traffic.lost) >= 5, deadline=Deadline("losses are recorded", 20))
    traffic.stop(deadline=Deadline("traffic stops", 20))
    assert len(traffic.lost) == len([number for number in range(traffic.finished) if not number % 4])


def test_the_child_ends_by_itself_when_its_parent_is_killed(serve: Serve, tmp_path: Path) -> None:
    settings = plan(serve(answer).url, tmp_path)
    (tmp_path / "plan.json").write_text(settings.to_json())
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent("""
                import sys, time
                from pathlib import Path
                from cakravia_verify.system.clock import SYSTEM_CLOCK, Deadline
                from cakravia_verify.traffic.plan.plan import TrafficPlan
                from cakravia_verify.traffic.run import TrafficRun
                traffic = TrafficRun(TrafficPlan.from_json(Path(sys.argv[1]).read_text()), clock=SYSTEM_CLOCK)
                traffic.start(deadline=Deadline("traffic flows", 20), requests=1)
                print(traffic.pid, flush=True)
                time.sleep(60)
            """),
            str(tmp_path / "plan.json"),
        ],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait(10)
    parent.stdout.close()
    summary = tmp_path / "records" / SUMMARY_FILE
    poll(lambda: json.loads(summary.read_text())["ended"] == "orphaned", deadline=Deadline("the child ends", 20))
    poll(lambda: not child.is_running() or child.status() == "zombie", deadline=Deadline("the child is gone", 20))


def test_the_terminals_interrupt_does_not_reach_the_child(
    serve: Serve, tmp_path: Path, started: list[TrafficRun]
) -> None:
    traffic = flowing(started, plan(serve(answer).url, tmp_path))
    assert os.getpgid(traffic.pid) != os.getpgid(0)
    assert os.getsid(traffic.pid) != os.getsid(0)


def test_a_child_that_dies_is_an_error_that_shows_its_log(
    serve: Serve, tmp_path: Path, started: list[TrafficRun]
) -> None:
    (tmp_path / "broken.py").write_text("raise RuntimeError('kopi tumpah')\n")
    with pytest.raises(TrafficError, match="kopi tumpah"):
        flowing(started, plan(serve(answer).url, tmp_path, locustfile=str(tmp_path / "broken.py")))


CONFIGURATIONS = {
    ".locust.conf": "tags = [nobody]\nrun-time = 1s\n",
    "locust.conf": "tags = [nobody]\nrun-time = 1s\n",
    "pyproject.toml": '[tool.locust]\ntags = ["nobody"]\nrun-time = "1s"\n',
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_child_reads_no_configuration_of_anybodys_locust(
    name: str, serve: Serve, tmp_path: Path, started: list[TrafficRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / name).write_text(CONFIGURATIONS[name])
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home)
    traffic = flowing(started, plan(serve(answer).url, tmp_path))
    poll(lambda: traffic.follow() >= 150, deadline=Deadline("it flows on after a second", 20))
    assert traffic.stop(deadline=Deadline("traffic stops", 20)).ended == "asked"


def test_the_users_own_locust_classes_get_the_real_home_and_no_secrets(
    serve: Serve, tmp_path: Path, started: list[TrafficRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("LOAD_TOKEN", "AWS_SECRET_ACCESS_KEY", "https_proxy", "LOCUST_RUN_TIME"):
        monkeypatch.setenv(name, "1s")
    (tmp_path / "own.py").write_text(
        textwrap.dedent("""
            import os
            from pathlib import Path
            from locust import User, task

            Path(os.environ["REAL_HOME"], "found").write_text("\\n".join(os.environ))

            class Idle(User):
                @task
                def wait(self):
                    __import__("time").sleep(0.1)
        """)
    )
    own = {"locustfile": str(tmp_path / "own.py"), "locustfile_users": 1, "environment": ("LOAD_TOKEN",)}
    traffic = flowing(started, plan(serve(answer).url, tmp_path, **own))
    traffic.stop(deadline=Deadline("traffic stops", 20))
    names = set((tmp_path / "found").read_text().splitlines())
    assert "LOAD_TOKEN" in names
    assert not names & {"AWS_SECRET_ACCESS_KEY", "https_proxy", "LOCUST_RUN_TIME"}


def test_a_killed_child_is_an_error_at_the_stop(serve: Serve, tmp_path: Path, started: list[TrafficRun]) -> None:
    traffic = flowing(started, plan(serve(answer).url, tmp_path))
    os.kill(traffic.pid, signal.SIGKILL)
    with pytest.raises(TrafficError, match="SIGKILL"):
        traffic.stop(deadline=Deadline("traffic stops", 20))


def test_a_child_ended_by_a_signal_still_leaves_a_summary_that_says_so(
    serve: Serve, tmp_path: Path, started: list[TrafficRun]
) -> None:
    traffic = flowing(started, plan(serve(answer).url, tmp_path))
    os.kill(traffic.pid, signal.SIGTERM)
    poll(lambda: not traffic.is_alive, deadline=Deadline("the child is gone", 20))
    assert json.loads((tmp_path / "records" / SUMMARY_FILE).read_text())["ended"] == "error"
    with pytest.raises(TrafficError, match="did not end properly"):
        traffic.stop(deadline=Deadline("traffic stops", 20))


def test_starting_twice_is_refused(serve: Serve, tmp_path: Path, started: list[TrafficRun]) -> None:
    traffic = flowing(started, plan(serve(answer).url, tmp_path), requests=1)
    with pytest.raises(TrafficError, match="twice"):
        traffic.start(deadline=Deadline("traffic flows", 20), requests=1)


def test_the_parent_imports_neither_locust_nor_gevent() -> None:
    code = (
        "import sys, cakravia_verify.traffic.process, cakravia_verify.traffic.plan.profiles;"
        "print(sorted({'locust', 'gevent', 'httptools'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3]
    )
    assert done.stdout.strip() == "[]"
