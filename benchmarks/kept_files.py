"""A file that the active version lacks: from the store, or from the warm slot after the active one said 404.

    python -m benchmarks.kept_files

It needs `wrk` (apt-get install wrk). One worker of each nginx. The contenders take turns. CPU time is that of the proxy
and of the slots together. The slots are nginx too: a real application adds its own time for each request that it gets.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from benchmarks.proxy_throughput import end, minimal_nginx
from cakravia_verify.platforms.process.nginx import LocalNginx
from cakravia_verify.settings.proxy import ProxySettings
from cakravia_verify.slots import Address, Colour
from cakravia_verify.system.clock import Deadline
from tests.kept_files import files_in
from tests.ports import free_ports

SLOT: Final = """\
server {{ listen 127.0.0.1:{port}; location /static/ {{ return {missing}; }} location / {{ return 200 "{text}"; }} }}"""
WARM: Final = """\
upstream blue {{ server 127.0.0.1:{blue}; keepalive 32; }} upstream green {{ server 127.0.0.1:{green}; keepalive 32; }}
server {{ listen 127.0.0.1:{port}; proxy_http_version 1.1; proxy_set_header Connection "";
    location /static/ {{ proxy_pass http://blue; proxy_intercept_errors on; error_page 404 = @warm; }}
    location @warm {{ proxy_pass http://green; }}
}}"""


@dataclass
class Way:
    """One way to answer `path` at `port`; `masters` are all nginx masters that work for it."""

    name: str
    port: int
    path: str
    masters: tuple[psutil.Process, ...]
    costs: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)

    def measure(self, *, seconds: int) -> None:
        before = self._cpu_seconds()
        command = ["wrk", "-t1", "-c8", f"-d{seconds}s", "--latency", f"http://127.0.0.1:{self.port}{self.path}"]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        requests, p99 = re.search(r"(\d+) requests in", output), re.search(r"99%\s+([0-9.]+)(us|ms)", output)
        if requests is None or p99 is None or "Non-2xx" in output:
            raise SystemExit(f"{self.name} did not answer as it should: {output}")
        self.costs.append((self._cpu_seconds() - before) / int(requests[1]) * 1_000_000)
        self.latencies.append(float(p99[1]) * (1000 if p99[2] == "ms" else 1))

    def _cpu_seconds(self) -> float:
        return sum(sum(worker.cpu_times()[:2]) for master in self.masters for worker in master.children())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nginx", default="", help="the program; default: the same as a site's")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2, help="of one measurement")
    options = parser.parse_args()
    with ways(options.nginx) as all_of_them:
        for _ in range(options.rounds):
            for each in all_of_them:
                each.measure(seconds=options.seconds)
    for each in all_of_them:
        cost, latency = statistics.median(each.costs), statistics.median(each.latencies)
        print(f"{each.name:45} {cost:6.1f} us of CPU time for a request, p99 {latency:7.0f} us")
    return 0


@contextmanager
def ways(program: str) -> Iterator[list[Way]]:
    blue, green, warm, stored, plain = free_ports(5)
    text = "x" * 1000
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kept-")))
        slots = []
        for port, missing in ((blue, "404"), (green, f'200 "{text}"')):
            slots.append(minimal_nginx(program, root / str(port), SLOT.format(port=port, missing=missing, text=text)))
            stack.callback(end, slots[-1])
        asking = minimal_nginx(program, root / "warm", WARM.format(port=warm, blue=blue, green=green))
        stack.callback(end, asking)
        ours = {}
        for port, settings in ((stored, {"assets": ("/static/", "/here/")}), (plain, {})):
            proxy = LocalNginx(
                ProxySettings(listen=f"127.0.0.1:{port}", nginx=program, workers=1, **settings),  # type: ignore[arg-type]
                folder=root / f"proxy-{port}",
                upstreams={Colour.BLUE: Address("127.0.0.1", blue), Colour.GREEN: Address("127.0.0.1", green)},
            )
            proxy.keep_files(Colour.BLUE, files_in(root / f"files-{port}", {"/static/old.js": text.encode()}))
            proxy.start(Colour.BLUE, deadline=Deadline("nginx starts", 20.0))
            ours[port] = psutil.Process(int((root / f"proxy-{port}" / "nginx.pid").read_text()))
            stack.callback(end, ours[port])
        yield [
            Way("a lacking file, from the store", stored, "/static/old.js", (ours[stored],)),
            Way("a lacking file, 404 and then the warm slot", warm, "/static/old.js", (asking, *slots)),
            Way("a present file, with a store", stored, "/here/new.js", (ours[stored], *slots)),
            Way("a present file, without a store", plain, "/here/new.js", (ours[plain], *slots)),
            Way("any other request, with a store", stored, "/", (ours[stored], *slots)),
            Way("any other request, without a store", plain, "/", (ours[plain], *slots)),
        ]


if __name__ == "__main__":
    sys.exit(main())
