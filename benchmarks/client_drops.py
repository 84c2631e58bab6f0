"""A server drops exactly K requests: how many does each client report?

    python -m benchmarks.client_drops [--drops 0 1 7 50 100] [--every-k]

One user sends requests one after the other; the server drops the chosen ones the first time it sees them and counts
what it sees twice. A client that resends in silence reports fewer than K. Locust's own clients run in child processes.
Exits with 1 when the strict client is off by one anywhere; the others are only shown.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import socket
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path

import gevent

from cakravia_verify.traffic.client.strict import StrictClient
from cakravia_verify.traffic.client.timer import now_us
from cakravia_verify.traffic.generator.generator import Generator
from cakravia_verify.traffic.plan.mix import Body, MixEntry
from cakravia_verify.traffic.plan.plan import TrafficPlan
from cakravia_verify.traffic.plan.schedule import Arrival
from cakravia_verify.traffic.records.rows import REQUESTS_FILE, Outcome, read_rows

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CUT_AT = {"before headers": 0, "after headers": len(ANSWER) - 5, "mid body": len(ANSWER) - 2}

_LOCUST_FILE = """
from locust import {kind}, events, task
import json, os

class Bench({kind}):
    @task
    def send(self):
        for number in range({count}):
            headers = {{"X-Request-ID": f"t-{{number}}", **{headers!r}}}
            self.client.request({method!r}, "/", headers=headers, data={body!r}, name="x")
        total = self.environment.stats.total
        print(json.dumps([total.num_requests, total.num_failures]), flush=True)
        os._exit(0)
"""


class DroppingServer:
    """Drops every second request while fewer than `drops` were dropped, each only the first time it comes."""

    def __init__(self, drops: int, cut_at: int) -> None:
        self._last_dropped = 2 * drops
        self._answer = ANSWER[:cut_at]
        self.seen: Counter[int] = Counter()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                accepted, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(accepted,), daemon=True).start()

    def _serve(self, accepted: socket.socket) -> None:
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with accepted, contextlib.suppress(OSError), accepted.makefile("rb") as reader:
            while line := reader.readline():
                headers = {}
                while (line := reader.readline()) not in (b"\r\n", b""):
                    key, _, value = line.partition(b":")
                    headers[key.lower()] = value.strip()
                reader.read(int(headers.get(b"content-length", b"0")))
                number = int(headers[b"x-request-id"].rpartition(b"-")[2])
                self.seen[number] += 1
                if number % 2 and number < self._last_dropped and self.seen[number] == 1:
                    accepted.sendall(self._answer)
                    return
                accepted.sendall(ANSWER)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def strict_losses(url: str, method: str, headers: dict[str, str], count: int, folder: Path) -> int:
    folder.mkdir(parents=True)
    body = Body("text", text="payload") if method == "POST" else Body()
    entry = MixEntry("x", method, headers=tuple(headers.items()), body=body)
    generator = Generator(TrafficPlan(url=url, records=str(folder), run="t", mix=(entry,)))
    client = StrictClient(generator.run)

    def send() -> None:
        for number in range(count):
            client.send(Arrival(number, now_us(), 0))

    gevent.spawn(send).get()
    client.close()
    generator.close("asked")
    generator.timer.close()
    return sum(row.outcome == Outcome.LOST for row in read_rows(folder / REQUESTS_FILE))


def locust_failures(kind: str, url: str, method: str, headers: dict[str, str], count: int, folder: Path) -> int:
    folder.mkdir(parents=True)
    body = "payload" if method == "POST" else None
    text = _LOCUST_FILE.format(kind=kind, count=count, headers=headers, method=method, body=body)
    (folder / "bench.py").write_text(text)
    command = [sys.executable, "-m", "locust", "-f", str(folder / "bench.py"), "--headless", "--host", url]
    done = subprocess.run(
        [*command, "-u", "1", "--loglevel", "CRITICAL"], cwd=folder, capture_output=True, text=True, timeout=120
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("[")]
    return int(json.loads(lines[-1])[1]) if lines else -1


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--drops", type=int, nargs="+", default=[0, 7, 100])
    parser.add_argument("--every-k", action="store_true", help="the strict client alone, for every K from 0 to 100")
    options = parser.parse_args()
    kinds = () if options.every_k else ("FastHttpUser", "HttpUser")
    drops = range(101) if options.every_k else options.drops
    print(f"{'request':<31}{'K':>5}{'strict':>9}" + "".join(f"{kind:>14} (sent twice)" for kind in kinds))
    wrong = total = 0
    for method, connection, where in itertools.product(("GET", "POST"), ("fresh", "reused"), CUT_AT):
        headers = {"Connection": "close"} if connection == "fresh" else {}
        for k in drops:
            with tempfile.TemporaryDirectory() as name:
                cells = []
                for kind in ("strict", *kinds):
                    server = DroppingServer(k, CUT_AT[where])
                    rest = (server.url, method, headers, 2 * k + 4, Path(name) / kind)
                    reported = strict_losses(*rest) if kind == "strict" else locust_failures(kind, *rest)
                    server.close()
                    twice = sum(times > 1 for times in server.seen.values())
                    cells.append((reported, twice))
            total += 1
            wrong += cells[0] != (k, 0)
            if not options.every_k or cells[0] != (k, 0):
                others = "".join(f"{reported:>14} ({twice:>10})" for reported, twice in cells[1:])
                print(f"{f'{method} {connection} {where}':<31}{k:>5}{cells[0][0]:>9}{others}", flush=True)
    print(f"strict client: {total - wrong} of {total} runs exact")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
