"""The session of checks: prerequisites, health, configuration, containers, a load, in one report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

import pytest

from cakravia_verify.kinds import DEPLOY, REGRESSION, ROLLBACK
from cakravia_verify.plugin.options import overrides
from cakravia_verify.plugin.sessions.base import Session
from cakravia_verify.runs.check_run import CheckRun

if TYPE_CHECKING:
    from cakravia_verify.runs.failover_cell import FailoverCell

# The order of the complete suite. Folders that are not named here come last.
SUITES_IN_ORDER: Final = ("prerequisites", "health", "config", "containers", "load", "failover", "monitor")
OF_DOCKER: Final = "containers"
RELEASE_SUITES: Final = (DEPLOY.name, ROLLBACK.name, REGRESSION.name)
DEFAULT_SECONDS: Final = 20.0
LONGEST_SECONDS: Final = 86_400.0
LONGEST_REASON: Final = 400


class CheckSession(Session[CheckRun]):
    """A session that checks the site and switches nothing. Every check of its suites counts."""

    latest: ClassVar[str] = "latest-check"

    def new_run(self) -> CheckRun:
        self.refuse_options_of_releases()
        site = self.open_site()
        if site.settings.site.platform != "docker" and any(path.name == OF_DOCKER for path in self._named):
            raise pytest.UsageError(
                f"{self.config.getoption('site')} describes a site on platform {site.settings.site.platform!r}, and "
                "this suite checks containers: name a site on Docker, as in "
                "cakravia --site cakravia.docker.toml check"
            )
        return CheckRun(
            site,
            duration=self.duration(DEFAULT_SECONDS),
            on_event=self.progress.event,
            pairs=overrides(self.config),
            told=self.progress.line,
        )

    def refuse_options_of_releases(self) -> None:
        """Raise pytest.UsageError if the command line has an option that only releases use."""
        option = self.config.getoption
        names = {"--version": "release", "--redeploy": "redeploy", "--wait": "wait", "--digest": "digest"}
        given = {name: option(dest) for name, dest in names.items()}
        for name, is_given in given.items():
            if is_given:
                raise pytest.UsageError(f"{name} is for releases: a check does not use it")

    def cells(self) -> Sequence[FailoverCell]:
        """Return the faults of suites/failover: those that the command line names, else the essential ones."""
        from cakravia_verify.faults.catalogue import FAULTS
        from cakravia_verify.faults.model import Moment
        from cakravia_verify.plugin.fault_choice import chosen_cells

        names = [fault.name for fault in FAULTS if fault.is_essential]
        return chosen_cells(self.config, names=names, moments=[Moment.STEADY])

    @property
    def may_copy_site(self) -> bool:
        """Whether the operator wants a copy of the site: by the command line, or by the variables of the copy.

        The application of the copy may reach what the live one reaches.
        """
        is_named = any(folder.name == "failover" for folder in self._named)
        given = self.run.settings.failover.model_fields_set
        return is_named or bool(self.config.getoption("cakravia_faults")) or "environment" in given

    def duration(self, default: float) -> float:
        """Return the seconds of --duration. Raises pytest.UsageError if they make no sense."""
        given = self.config.getoption("duration")
        seconds: float = default if given is None else given
        if math.isfinite(seconds) and 0 < seconds <= LONGEST_SECONDS:
            return seconds
        raise pytest.UsageError(f"--duration {seconds:g}: give seconds, more than 0 and at most {LONGEST_SECONDS:g}")

    # What pytest calls.

    @pytest.hookimpl
    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        """Leave out suites that release something, and those of another platform."""
        if not collection_path.is_dir():
            return None
        is_elsewhere = collection_path.name == OF_DOCKER and self.run.settings.site.platform != "docker"
        is_named = collection_path in self._named
        return True if not is_named and (is_elsewhere or collection_path.name in RELEASE_SUITES) else None

    @property
    def _named(self) -> Sequence[Path]:
        """The folders on the command line."""
        return [(self.config.invocation_params.dir / str(each)).resolve() for each in self.config.args]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            name = report.location[2].rpartition(".")[2] if "[" not in report.location[2] else report.location[2]
            self.run.reasons.setdefault(name, _reason_of(report))

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        item.add_marker("gate")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Put the suites into their order; the order within a suite stays."""
        items.sort(key=lambda item: _place_of(item.path.parent.name))


def _reason_of(report: pytest.TestReport) -> str:
    """Return why a check failed, on one line: the text of our error, else what the assert saw."""
    crash = getattr(report.longrepr, "reprcrash", None)
    # pytest shows the values of an assert in the lines below its message.
    text = str(crash.message).partition("\n")[0] if crash is not None else str(report.longrepr or "")
    return " ".join(text.removeprefix("AssertionError: ").split())[:LONGEST_REASON]


def _place_of(folder: str) -> int:
    return SUITES_IN_ORDER.index(folder) if folder in SUITES_IN_ORDER else len(SUITES_IN_ORDER)
