"""What every run shares, whatever its kind: a site, a folder for its records, a budget, and an outcome."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cakravia_verify.gate.model import Budget, Exit, Verdict
from cakravia_verify.release.machine import StepEvent
from cakravia_verify.report.document import ReleaseDocument
from cakravia_verify.settings.models import Settings
from cakravia_verify.site.site import Site, SiteState
from cakravia_verify.traffic.plan.from_settings import headers_of, plan_of
from cakravia_verify.traffic.plan.plan import TrafficPlan
from cakravia_verify.traffic.run import TrafficRun


@dataclass(frozen=True)
class SessionOutcome:
    """How a run ended: its exit status, its verdict, and everything the report needs."""

    exit: Exit
    verdict: Verdict
    document: ReleaseDocument


class SessionRun(ABC):
    """One run from `open` to `close`, without pytest.

    The session adds `notices` and `objections`, and names in `interrupted` the signal that ended it early. `state` is
    the site as the run found it.
    """

    def __init__(self, site: Site, *, on_event: Callable[[StepEvent], None] = lambda _: None) -> None:
        self.site = site
        self.settings: Settings = site.settings
        self.on_event = on_event
        self.notices: list[str] = []
        self.objections: list[str] = []
        self.interrupted = ""
        self.state: SiteState | None = None
        self._began_wall = site.clock.wall()
        self._began = site.clock.monotonic()

    @abstractmethod
    def open(self, *, waiting: Callable[[str], None] = lambda _: None) -> None:
        """Decide what this run will do. `waiting` gets one line if the run waits for another one.

        Raises UsageError, LockHeld or another CakraviaError; the site is free then.
        """

    @abstractmethod
    def conclude(self, required: Mapping[str, str]) -> SessionOutcome:
        """Return the verdict, acted upon. `required` maps the suite's required checks to their outcomes."""

    @abstractmethod
    def close(self) -> None:
        """Free the site and end all traffic of this run."""

    def shorten_waits(self) -> None:  # noqa: B027 - a run that never waits at its end has nothing to shorten
        """Shorten all remaining waits after a signal. Results stay the same."""

    @property
    @abstractmethod
    def id(self) -> str:
        """The name of this run in the journal and in the reports folder."""

    @property
    @abstractmethod
    def subject(self) -> str:
        """The version that this run is about."""

    @property
    @abstractmethod
    def introduction(self) -> tuple[str, ...]:
        """The first lines on the terminal: what this run will do."""

    @property
    @abstractmethod
    def has_started(self) -> bool:
        """Whether the run did anything that it must conclude."""

    @property
    @abstractmethod
    def traffic_run(self) -> TrafficRun | None:
        """The traffic of this run; None before it flows."""

    @property
    def folder(self) -> Path:
        """The folder of this run's records and report."""
        return self.settings.reports / self.id

    @property
    def budget(self) -> Budget:
        """The permitted loss, errors and latency."""
        return Budget(**self.settings.budget.model_dump())

    def traffic_plan(self, folder: Path, *, run: str) -> TrafficPlan:
        """Return the plan of this run's traffic. Raises SettingsError if [traffic] makes no plan."""
        return plan_of(
            self.settings.traffic,
            address=self.site.proxy.address,
            folder=folder,
            run=run,
            headers=headers_of(self.settings),
            root=self.settings.root,
            site=self.settings.site,
            tls_address=self.site.proxy.tls_address,
            passing_header=self.site.proxy.passing_header,
        )
