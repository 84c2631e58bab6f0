"""What the rendered configuration costs nginx for each request, beside a minimal nginx.

    python -m benchmarks.proxy_throughput

It needs `wrk` (apt-get install wrk). One worker of each nginx has a core of its own. The contenders take turns, and
each share compares neighbours in time. CPU time for a request is the measure, so other load on the machine moves the
result less than it moves requests per second.
"""

from __future__ import annotations

import argparse
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil

from cakravia_verify.platforms.process.nginx import LocalNginx
from cakravia_verify.platforms.process.nginx_program import NginxProgram
from cakravia_verify.settings.proxy import ProxySettings
from cakravia_verify.slots import Address, Colour
from cakravia_verify.system.clock import Deadline, poll
from tests.ports import free_ports

EVERYTHING: Final[dict[str, Any]] = {
    "trusted": ("10.0.0.0/8", "cloudflare"),
    "connections_per_address": 1000,
    "security_headers": {"strict_transport_security": "max-age=31536000"},
    "assets": ("/_next/static/",),
    "skew": {"header": "x-deployment-id", "query": "dpl", "cookie": "__vdpl"},
}
# The least share of the minimal nginx that each contender must reach.
BARS: Final = {"default settings": 0.90, "everything on": 0.85}
MINIMAL: Final = """\
daemon on; worker_processes 1; pid "{folder}/nginx.pid"; error_log "{folder}/error.log";
events {{ worker_connections 4096; }}
http {{
    access_log off; keepalive_requests 1000000;
    client_body_temp_path "{folder}/body"; proxy_temp_path "{folder}/proxy"; fastcgi_temp_path "{folder}/fastcgi";
    uwsgi_temp_path "{folder}/uwsgi"; scgi_temp_path "{folder}/scgi";
    {http}
}}
"""
ANSWERING: Final = 'server {{ listen 127.0.0.1:{port}; location / {{ return 200 "{text}"; }} }}'
FORWARDING: Final = """\
upstream slot {{ server 127.0.0.1:{slot}; keepalive 32; }}
server {{ listen 127.0.0.1:{port}; location / {{
    proxy_pass http://slot; proxy_http_version 1.1; proxy_set_header Connection "";
}} }}"""


@dataclass
class Contender:
    """One nginx at `port`. `costs` are microseconds of CPU time for a request, one for each round."""

    name: str
    port: int
    master: psutil.Process
    costs: list[float] = field(default_factory=list)

    def measure(self, *, seconds: int) -> None:
        before = self._cpu_seconds()
        command = ["wrk", "-t1", "-c50", f"-d{seconds}s", f"http://127.0.0.1:{self.port}/"]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        requests = re.search(r"(\d+) requests in", output)
        if requests is None or "Non-2xx" in output:
            raise SystemExit(f"{self.name} did not answer as it should: {output}")
        self.costs.append((self._cpu_seconds() - before) / int(requests[1]) * 1_000_000)

    def _cpu_seconds(self) -> float:
        return sum(sum(worker.cpu_times()[:2]) for worker in self.master.children())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nginx", default="", help="the program; default: the same as a site's")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=3, help="of one measurement")
    options = parser.parse_args()
    if not shutil.which("wrk"):
        raise SystemExit("this benchmark needs wrk: apt-get install wrk")
    with contenders(options.nginx) as all_of_them:
        for _ in range(options.rounds):
            for each in all_of_them:
                each.measure(seconds=options.seconds)
    return report(*all_of_them)


def report(minimal: Contender, *others: Contender) -> int:
    print(f"{minimal.name:18} {statistics.median(minimal.costs):6.2f} us of CPU time for a request")
    missed = False
    for each in others:
        share = statistics.median(base / cost for base, cost in zip(minimal.costs, each.costs, strict=True))
        missed |= share < BARS[each.name]
        print(
            f"{each.name:18} {statistics.median(each.costs):6.2f} us, share of the minimal nginx {share:.1%} "
            f"(bar: {BARS[each.name]:.0%})"
        )
    return int(missed)


@contextmanager
def contenders(program: str) -> Iterator[list[Contender]]:
    """Yield the minimal nginx, then this project's with each set of settings. All pass requests to one more nginx."""
    slot, *ports = free_ports(4)
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="proxy-")))
        answering = minimal_nginx(program, root / "slot", ANSWERING.format(port=slot, text="x" * 1000))
        stack.callback(end, answering)
        passing = minimal_nginx(program, root / "minimal", FORWARDING.format(port=ports[0], slot=slot))
        stack.callback(end, passing)
        found = [Contender("minimal nginx", ports[0], passing)]
        for name, settings, port in zip(BARS, ({}, EVERYTHING), ports[1:], strict=True):
            folder = root / name.split()[0]
            proxy = LocalNginx(
                ProxySettings(listen=f"127.0.0.1:{port}", nginx=program, workers=1, **settings),
                folder=folder,
                upstreams={Colour.BLUE: Address("127.0.0.1", slot), Colour.GREEN: Address("127.0.0.1", slot + 1)},
            )
            proxy.start(Colour.BLUE, deadline=Deadline("nginx starts", 20.0))
            master = psutil.Process(int((folder / "nginx.pid").read_text()))
            stack.callback(end, master)
            found.append(Contender(name, port, master))
        yield found


def minimal_nginx(program: str, folder: Path, http: str) -> psutil.Process:
    folder.mkdir()
    nginx = NginxProgram(program, folder)
    nginx.configuration.write_text(MINIMAL.format(folder=folder, http=http))
    nginx.run()
    pid_file = folder / "nginx.pid"
    poll(lambda: pid_file.exists() and pid_file.read_text().strip(), deadline=Deadline("nginx starts", 20.0))
    return psutil.Process(int(pid_file.read_text()))


def end(master: psutil.Process) -> None:
    master.terminate()
    master.wait(10)


if __name__ == "__main__":
    sys.exit(main())
