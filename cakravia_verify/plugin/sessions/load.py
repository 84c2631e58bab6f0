"""The session of a load: opened before collection, watched check by check, concluded whatever happens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from cakravia_verify.errors import CakraviaError, LockHeld, UsageError
from cakravia_verify.gate.model import Exit
from cakravia_verify.kinds import SessionPolicy
from cakravia_verify.plugin.options import overrides
from cakravia_verify.plugin.progress import Progress
from cakravia_verify.plugin.report_hooks import ReportHooks, write_outcome
from cakravia_verify.plugin.required_checks import Checks
from cakravia_verify.plugin.sessions.release import refuse_unfit
from cakravia_verify.plugin.signals import Interrupts
from cakravia_verify.report.folder import require_writable
from cakravia_verify.runs.load_run import LoadRun
from cakravia_verify.runs.release_run import Outcome
from cakravia_verify.settings.loading import load_settings
from cakravia_verify.site.assembly import open_site

DEFAULT_DURATION = 60.0
LONGEST_DURATION = 86_400.0
LATEST_LOAD = "latest-load"


class LoadSession:
    """Owns the load of a pytest session."""

    def __init__(self, config: pytest.Config, policy: SessionPolicy, *, required: Sequence[str]) -> None:
        self.config = config
        self.policy = policy
        self.checks = Checks(required)
        self.progress = Progress(config)
        self.interrupts = Interrupts()
        self.outcome: Outcome | None = None
        self.run = self._new_run()

    def _new_run(self) -> LoadRun:
        config = self.config
        refuse_unfit(config)
        if config.getoption("release"):
            raise pytest.UsageError("a load releases nothing: run suites/load without --version / --release")
        for option, given in (
            ("--bake", config.getoption("cakravia_bake") is not None),
            ("--reason", config.getoption("reason")),
            ("--redeploy", config.getoption("redeploy")),
            ("--wait", config.getoption("wait")),
        ):
            if given:
                raise pytest.UsageError(f"{option} is for releases: a load would not look at it")
        asked = config.getoption("duration")
        duration = DEFAULT_DURATION if asked is None else asked
        if not (math.isfinite(duration) and 0 < duration <= LONGEST_DURATION):
            raise pytest.UsageError(
                f"--duration {duration:g}: name seconds, more than 0 and at most {LONGEST_DURATION:g}"
            )
        try:
            settings = load_settings(Path(config.getoption("site")), overrides=overrides(config))
            require_writable(settings.reports)
            return LoadRun(open_site(settings), duration=duration, on_event=self.progress.event)
        except UsageError as error:
            raise pytest.UsageError(str(error)) from error

    def open(self) -> None:
        """It is settled what is loaded and how, or the session ends here."""
        self.interrupts.install()
        try:
            self.run.open(waiting=self.progress.line)
        except UsageError as error:
            raise pytest.UsageError(str(error)) from error
        except LockHeld as error:
            pytest.exit(str(error), returncode=Exit.LOCK_HELD)
        except CakraviaError as error:
            pytest.exit(str(error), returncode=Exit.INCONCLUSIVE)
        report = ReportHooks(
            self.config,
            folder=self.run.folder,
            kind=self.policy.name,
            subject=self.run.subject,
            outcome=lambda: self.outcome,
        )
        self.config.pluginmanager.register(report)
        self.config.pluginmanager.register(self.checks)

    def close(self) -> None:
        self.run.close()
        self.interrupts.restore()

    # What pytest calls.

    @pytest.hookimpl(trylast=True)
    def pytest_sessionstart(self) -> None:
        for line in self.run.introduction:
            self.progress.line(line, bold=line == self.run.introduction[0])
        for notice in self.run.notices:
            self.progress.line(f"  note: {notice}", yellow=True)

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self) -> None:
        self.interrupts.hold(self._told_while_busy)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.outcome is not None:
            return
        self.interrupts.hold(self._told_while_busy)
        session.exitstatus = self._conclude().exit

    def _told_while_busy(self, name: str) -> None:
        self.progress.line(f"  {name} received: ending the load", yellow=True)

    def _conclude(self) -> Outcome:
        self.run.interrupted = self.interrupts.seen
        self.outcome = self.run.conclude(self.checks.outcomes())
        try:
            reports = self.run.settings.reports
            self.outcome = write_outcome(
                self.outcome, self.run.folder, reports=reports, latest=LATEST_LOAD, tell=self.progress.line
            )
        except (CakraviaError, OSError) as error:
            # Whoever gates on the verdict finds none, and the exit status must not say otherwise.
            if self.outcome.exit is Exit.WITHIN_BUDGET:
                self.outcome = replace(self.outcome, exit=Exit.INCONCLUSIVE)
            self.progress.line(f"{self.run.id}: its report could not be written: {error}", red=True)
        self.config.hook.pytest_cakravia_outcome(config=self.config, outcome=self.outcome)
        return self.outcome
