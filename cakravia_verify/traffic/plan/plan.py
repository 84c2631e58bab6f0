"""What the traffic does: where to, how much, how it arrives and what each request is."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from cakravia_verify.traffic.plan.mix import Body, MixEntry


@dataclass(frozen=True)
class TrafficPlan:
    """The whole load of a run. Times in seconds, `rate` in requests per second.

    `host` is the Host of every request and the name in TLS; empty follows the URL. `headers` go with every request,
    and a request's own replace them. `connect` overrides where the socket goes: `host:port` or `unix:/path`; empty
    follows the URL. `users` is the size of the connection pool, which may grow to `users * growth` when every
    connection is busy at a planned instant. `round_trip` is emulated between client and server
    (docs/ROUND_TRIP.md). `locustfile` names a file of the user's own whose user classes run beside ours,
    `locustfile_users` of them; `environment` names the variables that it gets. `curve` holds (second, rate) points
    that the rate follows in straight lines, instead of `rate`. `least_share` is the least share of all arrivals that
    an entry gets, whatever its weight. `processes` share one schedule; `web_ui` is a loopback host:port for Locust's
    own page.
    """

    url: str
    records: str
    run: str
    mix: tuple[MixEntry, ...]
    connect: str = ""
    host: str = ""
    headers: tuple[tuple[str, str], ...] = ()
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
    least_share: float = 0.0
    environment: tuple[str, ...] = ()

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

    @classmethod
    def from_json(cls, text: str) -> TrafficPlan:
        """Return the plan that `to_json` wrote. The settings validated it before that, so no value is checked here."""
        values = json.loads(text)
        mix = tuple(map(_entry_of, values.pop("mix")))
        environment = tuple(values.pop("environment"))
        curve = tuple((at, rate) for at, rate in values.pop("curve"))
        headers = tuple((name, value) for name, value in values.pop("headers"))
        return cls(**values, mix=mix, curve=curve, headers=headers, environment=environment)


def _entry_of(values: dict[str, Any]) -> MixEntry:
    headers = tuple((name, value) for name, value in values.pop("headers"))
    body = Body(**values.pop("body"))
    expected = values.pop("expected")
    steps = tuple(map(_entry_of, values.pop("steps")))
    return MixEntry(
        **values, headers=headers, body=body, expected=None if expected is None else tuple(expected), steps=steps
    )
