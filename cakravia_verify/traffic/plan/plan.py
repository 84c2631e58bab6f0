"""What the traffic does: where to, how much, how it arrives and what each request is."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cakravia_verify.traffic.plan.mix import MixEntry, _is_header, demand

if TYPE_CHECKING:
    from collections.abc import Iterable


ARRIVALS = ("constant", "poisson")


@dataclass(frozen=True)
class TrafficPlan:
    """The whole load of a run. Times in seconds, `rate` in requests per second.

    `connect` overrides where the socket goes: `host:port` or `unix:/path`; empty follows the URL. `users` is the size
    of the connection pool, which may grow to `users * growth` when every connection is busy at a planned instant.
    `round_trip` is emulated between client and server (docs/ROUND_TRIP.md). `locustfile` names a file of the user's own
    whose user classes run beside ours, `locustfile_users` of them. `curve` holds (second, rate) points that the rate
    follows in straight lines, instead of `rate`. `processes` share one schedule; `web_ui` is a loopback host:port for
    Locust's own page. Raises SettingsError naming the key.
    """

    url: str
    records: str
    run: str
    mix: tuple[MixEntry, ...]
    connect: str = ""
    users: int = 50
    growth: float = 4.0
    rate: float = 200.0
    arrivals: str = "poisson"
    seed: int = 1
    round_trip: float = 0.0
    timeout: float = 10.0
    connect_timeout: float = 2.0
    request_id_header: str = "X-Request-ID"
    slot_header: str = "X-Deployment-Slot"
    version_header: str = "X-Deployment-Version"
    served_slot_header: str = "X-Served-Slot"
    ca_file: str = ""
    tls_verify: bool = True
    locustfile: str = ""
    locustfile_users: int = 1
    html_report: bool = True
    curve: tuple[tuple[float, float], ...] = ()
    processes: int = 1
    web_ui: str = ""

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        demand(
            parts.scheme in ("http", "https") and bool(parts.hostname),
            "url",
            seen=self.url,
            wanted="an address as http://127.0.0.1:8080",
        )
        demand(_is_address(self.connect), "connect", seen=self.connect, wanted="host:port, unix:/path or nothing")
        demand(bool(self.records), "records", seen=self.records, wanted="the folder that takes the records")
        demand(_is_run(self.run), "run", seen=self.run, wanted="letters, digits, `.`, `_` and `-`")
        demand(1 <= self.users <= 20_000, "users", seen=self.users, wanted="1 to 20000 connections")
        demand(1 <= self.growth <= 100, "growth", seen=self.growth, wanted="a factor of 1 to 100")
        demand(0 < self.rate <= 100_000, "rate", seen=self.rate, wanted="requests per second, more than 0")
        demand(self.arrivals in ARRIVALS, "arrivals", seen=self.arrivals, wanted=" or ".join(ARRIVALS))
        demand(0 <= self.round_trip <= 10, "round_trip", seen=self.round_trip, wanted="0 to 10 seconds")
        demand(0 < self.connect_timeout <= 600, "connect_timeout", seen=self.connect_timeout, wanted="seconds")
        demand(0 < self.timeout <= 3600, "timeout", seen=self.timeout, wanted="seconds, more than 0")
        for key, seconds in self._timeouts():
            demand(
                seconds > 2 * self.round_trip,
                key,
                seen=seconds,
                wanted="more than twice `round_trip`, or nothing arrives",
            )
        demand(bool(self.mix), "mix", seen=self.mix, wanted="at least one kind of request")
        names = [request.name for entry in self.mix for request in (entry, *entry.steps)]
        demand(len(names) == len(set(names)), "mix.name", seen=names, wanted="names that differ")
        demand(self.locustfile_users >= 0, "locustfile_users", seen=self.locustfile_users, wanted="0 or more")
        times = [at for at, _ in self.curve]
        held = all(0 <= at <= 86_400 and 0 <= rate <= 100_000 for at, rate in self.curve) and times == sorted(times)
        demand(
            held and (not self.curve or self.curve[-1][1] > 0),
            "curve",
            seen=self.curve,
            wanted="points in the order of their seconds, rates not negative and the last one more than 0",
        )
        demand(1 <= self.processes <= 64, "processes", seen=self.processes, wanted="1 to 64")
        demand(self.processes <= self.users, "processes", seen=self.processes, wanted="no more than there are users")
        demand(
            _is_address(self.web_ui) and self.web_ui.rpartition(":")[0] in ("", "127.0.0.1", "[::1]", "localhost"),
            "web_ui",
            seen=self.web_ui,
            wanted="an address of this machine as 127.0.0.1:8089, for it asks nobody for a password",
        )
        for key in ("request_id_header", "slot_header", "version_header", "served_slot_header"):
            name = getattr(self, key)
            # An application may name neither its slot nor its version: then there is no such header.
            is_absent = not name and key in ("slot_header", "version_header")
            demand(is_absent or _is_header(name, "x"), key, seen=name, wanted="a header name")

    def _timeouts(self) -> Iterable[tuple[str, float]]:
        yield "timeout", self.timeout
        yield "connect_timeout", self.connect_timeout
        for entry in self.mix:
            for request in (entry, *entry.steps):
                if request.timeout:
                    yield f"mix.{request.name}.timeout", request.timeout

    @property
    def longest_timeout(self) -> float:
        """Seconds after which every request that was taken up has ended, one way or another."""
        longest = max(self._longest(entry) for entry in self.mix)
        return self.connect_timeout + 4 * self.round_trip + longest

    def _longest(self, entry: MixEntry) -> float:
        beyond = 2 * self.timeout if entry.stream else 0.0  # for the beginning of its last answer, and its leave
        return beyond + sum(step.pause + (step.timeout or self.timeout) for step in (entry, *entry.steps))

    @property
    def streams(self) -> tuple[str, ...]:
        """The names of the requests that are held open."""
        return tuple(entry.name for entry in self.mix if entry.stream)

    @property
    def most_users(self) -> int:
        return max(self.users, int(self.users * self.growth))

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1)


def _is_run(run: str) -> bool:
    return 0 < len(run) <= 100 and run.isascii() and run.replace("-", "").replace("_", "").replace(".", "").isalnum()


def _is_address(address: str) -> bool:
    if not address or (address.startswith("unix:/") and len(address) > len("unix:/")):
        return True
    host, _, port = address.rpartition(":")
    return bool(host) and port.isdecimal() and 0 < int(port) < 65536
