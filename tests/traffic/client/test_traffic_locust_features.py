"""Locust's own features beside the strict users: several processes, its web page, users of other classes."""

from __future__ import annotations

import os
import signal
import textwrap
import urllib.request
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from cakravia_verify.errors import TrafficError
from cakravia_verify.system.clock import SYSTEM_CLOCK, Deadline, Microseconds, poll
from cakravia_verify.traffic.ledger.findings import Kind
from cakravia_verify.traffic.ledger.ledger import Ledger
from cakravia_verify.traffic.plan.mix import MixEntry
from cakravia_verify.traffic.plan.plan import TrafficPlan
from cakravia_verify.traffic.process import free_port
from cakravia_verify.traffic.records.rows import LOCUST_REPORT_FILE, read_rows
from cakravia_verify.traffic.run import TrafficRun
from tests.traffic.client.conftest import RawServer

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from cakravia_verify.traffic.process import TrafficSummary
    from tests.traffic.client.conftest import Serve

OK = b"HTTP/1.1 200 OK\r\nX-Deployment-Slot: blue\r\nX-Deployment-Version: v1\r\nContent-Length: 2\r\n\r\nhi"
OWN_CLASSES = """
from locust import FastHttpUser, HttpUser, constant, task

class Slow(HttpUser):
    wait_time = constant(0.05)

    @task
    def look(self):
        self.client.get("/", name="own page", headers={"X-Request-ID": "own-0"})

class Fast(FastHttpUser):
    wait_time = constant(0.05)

    @task
    def look(self):
        self.client.get("/", name="own fast page", headers={"X-Request-ID": "own-0"})
"""


def answer(accepted: socket.socket, number: int, head: bytes, body: bytes) -> bool:
    accepted.sendall(OK)
    return True


@pytest.fixture
def flows(serve: Serve, tmp_path: Path) -> Iterator[list[TrafficRun]]:
    made: list[TrafficRun] = []
    yield made
    for flow in made:
        flow.kill()


def flowing(flows: list[TrafficRun], url: str, folder: Path, **settings: object) -> TrafficRun:
    given = {"mix": (MixEntry("page"),), "users": 6, "rate": 200.0, "html_report": False, **settings}
    plan = TrafficPlan(url=url, records=str(folder / "records"), run="t", **given)  # type: ignore[arg-type]
    flows.append(TrafficRun(plan, clock=SYSTEM_CLOCK))
    flows[-1].start(deadline=Deadline("traffic flows", 30), requests=40)
    return flows[-1]


def built(flow: TrafficRun) -> Ledger:
    return Ledger.build(flow.folder, requests=flow.requests, events=flow.events, traffic=flow.folder / "traffic.json")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TrafficRun, TrafficSummary]]:
    """A traffic of two processes with users of other classes beside the strict ones, from its beginning to its end."""
    folder = tmp_path_factory.mktemp("shared")
    server, flows = RawServer(answer), list[TrafficRun]()
    (folder / "own.py").write_text(textwrap.dedent(OWN_CLASSES))
    own = {"locustfile": str(folder / "own.py"), "locustfile_users": 4}
    try:
        flow = flowing(flows, server.url, folder, processes=2, arrivals="constant", html_report=True, **own)
        poll(lambda: flow.follow() and len(flow.foreign) == 2, deadline=Deadline("own requests are seen", 20))
        flow.settle(deadline=Deadline("everything planned until now has ended", 20))
        yield flow, flow.stop(deadline=Deadline("traffic stops", 20))
    finally:
        for flow in flows:
            flow.kill()
        server.close()


def test_several_processes_leave_one_record_of_one_schedule(shared: tuple[TrafficRun, TrafficSummary]) -> None:
    flow, summary = shared
    rows = read_rows(flow.requests)
    strict = sorted((row for row in rows if row.strict), key=lambda row: int(row.id.rpartition("-")[2]))
    assert [int(row.id.rpartition("-")[2]) for row in strict] == list(range(len(strict)))
    assert {later.planned - row.planned for row, later in pairwise(strict)} == {Microseconds(5000)}
    assert (summary.ended, summary.planned, summary.finished) == ("asked", len(rows), len(rows))
    assert summary.raw["processes"] == 2
    with built(flow) as ledger:
        assert ledger.evidence.integrity == ()
    assert "page" in (flow.folder / LOCUST_REPORT_FILE).read_text()


def test_users_of_other_classes_in_several_processes_enter_the_one_ledger(
    shared: tuple[TrafficRun, TrafficSummary],
) -> None:
    ensure_not_strict(shared[0])


def test_a_worker_that_dies_makes_the_whole_traffic_an_error(
    serve: Serve, tmp_path: Path, flows: list[TrafficRun]
) -> None:
    flow = flowing(flows, serve(answer).url, tmp_path, processes=2)
    (leader,) = [each for each in psutil.process_iter() if each.pid == flow.pid]
    os.kill(leader.children()[0].pid, signal.SIGKILL)
    with pytest.raises(TrafficError, match="did not end properly"):
        flow.stop(deadline=Deadline("traffic stops", 20))


def test_workers_end_when_their_leader_is_killed(serve: Serve, tmp_path: Path, flows: list[TrafficRun]) -> None:
    flow = flowing(flows, serve(answer).url, tmp_path, processes=2)
    workers = psutil.Process(flow.pid).children()
    os.kill(flow.pid, signal.SIGKILL)
    poll(
        lambda: not any(worker.is_running() and worker.status() != "zombie" for worker in workers),
        deadline=Deadline("the workers end", 20),
    )


def test_locusts_own_page_shows_the_traffic_while_it_flows(
    serve: Serve, tmp_path: Path, flows: list[TrafficRun]
) -> None:
    port = free_port()
    flow = flowing(flows, serve(answer).url, tmp_path, web_ui=f"127.0.0.1:{port}", html_report=True)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/stats/requests", timeout=5) as told:
        assert '"page"' in told.read().decode()
    assert flow.stop(deadline=Deadline("traffic stops", 20)).ended == "asked"
    assert "page" in (flow.folder / LOCUST_REPORT_FILE).read_text()


def test_users_of_other_classes_enter_the_same_ledger_as_not_strict(
    serve: Serve, tmp_path: Path, flows: list[TrafficRun]
) -> None:
    (tmp_path / "own.py").write_text(textwrap.dedent(OWN_CLASSES))
    own = {"locustfile": str(tmp_path / "own.py"), "locustfile_users": 2}
    flow = flowing(flows, serve(answer).url, tmp_path, **own)
    poll(lambda: flow.follow() and len(flow.foreign) == 2, deadline=Deadline("own requests are seen", 20))
    flow.stop(deadline=Deadline("traffic stops", 20))
    ensure_not_strict(flow)


def ensure_not_strict(flow: TrafficRun) -> None:
    """Requests of both other classes are in the ledger, each once, marked, and nothing is missing for them."""
    with built(flow) as ledger:
        names = dict(ledger.query("SELECT name, count(*) FROM ledger WHERE NOT strict GROUP BY 1"))
        assert set(names) == {"own page", "own fast page"}
        assert Kind.TRUNCATED not in {finding.kind for finding in ledger.evidence.findings}
        assert ledger.evidence.integrity == ()
        assert ledger.evidence.not_strict.total == sum(names.values())
    rows = read_rows(flow.requests)
    assert Counter(row.id for row in rows).most_common(1)[0][1] == 1
    assert {(row.outcome, row.status, row.slot) for row in rows if not row.strict} == {("answered", 200, "blue")}
