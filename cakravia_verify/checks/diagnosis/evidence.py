"""The evidence for a diagnosis: logs, configuration, probes of both slots, history, lock and monitor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from cakravia_verify.errors import CakraviaError
from cakravia_verify.health.models import Reading
from cakravia_verify.health.probe import Answer
from cakravia_verify.history.lease import Lease
from cakravia_verify.history.releases import Record, records
from cakravia_verify.proxy.protocol import ConfigurationState
from cakravia_verify.site.site import Site, SiteState
from cakravia_verify.slots import Colour

T = TypeVar("T")
LOG_LINES: Final = 200
SHOWN_LINES: Final = 30
SHOWN_RELEASES: Final = 5


@dataclass(frozen=True)
class MonitorEvidence:
    """What is known of the site's monitor. `state` is its state file; `log` has the last lines of its log."""

    is_installed: bool = False
    is_running: bool = False
    is_fresh: bool = False
    has_channels: bool = False
    state: Mapping[str, Any] = field(default_factory=dict)
    log: str = ""


@dataclass(frozen=True)
class SiteEvidence:
    """Everything that the four chapters of troubleshooting look at, read once.

    `troubles` has one line for each thing that could not be read. `releases` are oldest first.
    """

    state: SiteState | None
    users: Answer
    readings: Mapping[Colour, tuple[Reading, ...]]
    slot_logs: Mapping[Colour, str]
    proxy_log: str
    configuration: ConfigurationState
    releases: tuple[Record, ...]
    holder: Lease | None
    monitor: MonitorEvidence
    troubles: tuple[str, ...]

    @property
    def last(self) -> Record | None:
        """The newest release, None without one."""
        return self.releases[-1] if self.releases else None

    def as_json(self) -> dict[str, Any]:
        """Return the evidence for a report of a defect: the newest lines of logs, and the newest releases."""
        state, configuration = self.state, self.configuration
        return {
            "users": {"status": self.users.status_code, "problem": self.users.problem},
            "served": str(state.served) if state and state.served else None,
            "drift": list(state.drift) if state else [],
            "readings": {str(colour): [str(each) for each in rows] for colour, rows in self.readings.items()},
            "logs": {
                **{str(colour): log.splitlines()[-SHOWN_LINES:] for colour, log in self.slot_logs.items()},
                "proxy": self.proxy_log.splitlines()[-SHOWN_LINES:],
                "monitor": self.monitor.log.splitlines()[-SHOWN_LINES:],
            },
            "nginx": {
                "refusal": configuration.refusal,
                "is_as_loaded": configuration.written == configuration.loaded,
                "is_as_wanted": configuration.written == configuration.wanted,
            },
            "releases": [
                {
                    "release": each.intent.release,
                    "version": each.intent.version,
                    "outcome": each.outcome,
                    "why": each.why,
                }
                for each in self.releases[-SHOWN_RELEASES:]
            ],
            "lock": str(self.holder) if self.holder else None,
            "troubles": list(self.troubles),
        }


def collect(site: Site, *, monitor: MonitorEvidence) -> SiteEvidence:
    """Read the evidence. Changes nothing. What cannot be read is a trouble, never an error."""
    troubles: list[str] = []

    def read(what: str, act: Callable[[], T], default: T) -> T:
        try:
            return act()
        except CakraviaError as error:
            troubles.append(f"{what}: {error.message}")
            return default

    def log_of(colour: Colour) -> str:
        return read(f"the log of {colour}", lambda: site.platform.logs(colour, lines=LOG_LINES), "")

    state = read("the site cannot be observed", lambda: _maybe(site), None)
    path = next(iter(site.settings.contract.endpoints.values()))
    slots = {} if state is None else {colour: state.slots.at(colour) for colour in Colour}
    running = {colour: slot for colour, slot in slots.items() if slot is not None}
    return SiteEvidence(
        state=state,
        users=site.prober.request(site.proxy.address, "GET", path),
        readings={colour: site.readings(slot) for colour, slot in running.items()},
        slot_logs={colour: log_of(colour) for colour in Colour},
        proxy_log=read("the log of the proxy", lambda: site.proxy.logs(lines=LOG_LINES), ""),
        configuration=read("nginx's configuration", site.proxy.configuration_state, ConfigurationState()),
        releases=read("the history", lambda: records(site.journal.entries()), ()),
        holder=read("the lock", site.lock.holder, None),
        monitor=monitor,
        troubles=tuple(troubles),
    )


def _maybe(site: Site) -> SiteState | None:
    return site.observe()
