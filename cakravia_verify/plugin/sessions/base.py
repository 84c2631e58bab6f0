"""What every session does: it opens its run before collection, watches the checks, and always concludes."""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

import pytest

from cakravia_verify.errors import CakraviaError, LockHeld, RollbackFailed, UsageError
from cakravia_verify.gate.model import Exit
from cakravia_verify.kinds import SessionPolicy
from cakravia_verify.plugin.options import overrides
from cakravia_verify.plugin.progress import Progress
from cakravia_verify.plugin.report_hooks import ReportHooks, seal_outcome, write_outcome
from cakravia_verify.plugin.required_checks import Checks
from cakravia_verify.plugin.sessions.unfit import refuse_unfit
from cakravia_verify.plugin.signals import Interrupts
from cakravia_verify.report.folder import LATEST, place_of_rollback_reports, require_writable
from cakravia_verify.report.verdict.model import FILE_NAME as VERDICT
from cakravia_verify.runs.failures import describe_and_log
from cakravia_verify.runs.session_run import SessionOutcome, SessionRun
from cakravia_verify.settings.loading import load_settings
from cakravia_verify.settings.models import Settings
from cakravia_verify.site.assembly import open_site
from cakravia_verify.site.site import Site

Run = TypeVar("Run", bound=SessionRun)


class Session(ABC, Generic[Run]):
    """A pytest session around one run.

    A kind of session says in `new_run` what it runs, and refuses options that it does not use. `latest` names the link
    to its newest report. `exit_without_report` replaces exit status 0 if the verdict cannot be written.
    """

    latest: ClassVar[str] = LATEST
    exit_without_report: ClassVar[Exit] = Exit.INCONCLUSIVE

    def __init__(self, config: pytest.Config, policy: SessionPolicy, *, required: Sequence[str]) -> None:
        self.config = config
        self.policy = policy
        self.progress = Progress(config)
        self.interrupts = Interrupts()
        self.outcome: SessionOutcome | None = None
        refuse_unfit(config)
        try:
            self.run: Run = self.new_run()
        except UsageError as error:
            raise pytest.UsageError(str(error)) from error
        self.checks = Checks((*required, *self.more_required()))

    def more_required(self) -> Sequence[str]:
        """Return the tests that this site requires beside those of its suite."""
        return ()

    @abstractmethod
    def new_run(self) -> Run:
        """Return the run that the command line describes. Raises UsageError or pytest.UsageError."""

    def open_site(self) -> Site:
        """Return the site that the command line names. Raises UsageError if its reports cannot be written."""
        settings = load_settings(Path(self.config.getoption("site")), overrides=overrides(self.config))
        if self.policy.goes_back:
            settings = self._with_place_of_report(settings)
        else:
            require_writable(settings.reports)
        self._heal(settings.state)
        return open_site(settings)

    def _with_place_of_report(self, settings: Settings) -> Settings:
        place = place_of_rollback_reports(settings.reports)
        if place == settings.reports:
            return settings
        folder = tempfile.mkdtemp(prefix=f"cakravia-{settings.site.name}-reports-", dir=place)
        self.progress.line(f"  note: {settings.reports} takes no report; it is written to {folder}", yellow=True)
        return settings.model_copy(update={"site": settings.site.model_copy(update={"reports": folder})})

    def _heal(self, state: Path) -> None:
        """Heal the faults that a killed session left. Usually there are none, and nothing is imported for it."""
        if not (state / "faults").is_dir():
            return
        from cakravia_verify.faults.heal_journal import heal_left

        for line in heal_left(state):
            self.progress.line(f"  note: {line}", yellow=True)

    def objections(self) -> Sequence[str]:
        """Return what stands against a good verdict and is no check of the suite."""
        return ()

    def end_progress(self) -> None:
        """Remove what showed the progress, before the verdict is written."""

    # From before collection to the end of the process.

    def open(self) -> None:
        """Open the run and register the session's hooks, or end the session with the site unchanged."""
        self.interrupts.install()
        try:
            self.run.open(waiting=self.progress.line)
        except UsageError as error:
            raise pytest.UsageError(str(error)) from error
        except LockHeld as error:
            pytest.exit(str(error), returncode=Exit.LOCK_HELD)
        except RollbackFailed as error:
            pytest.exit(f"an earlier release could not be undone: {error}", returncode=Exit.NEEDS_A_PERSON)
        except CakraviaError as error:
            pytest.exit(str(error), returncode=Exit.INCONCLUSIVE)
        for path in (*(self.config.getoption("ignore") or ()), *(self.config.getoption("ignore_glob") or ())):
            self.run.notices.append(f"{path} was left out of the suite by --ignore")
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
        """Conclude the run if a hook kept pytest from it, then free the site."""
        try:
            if self.outcome is None and self.run.has_started:
                self.interrupts.hold(self.report_signal)
                self._conclude(["the session stopped before its end: see the error of a hook above"])
        finally:
            self.end_progress()
            self.run.close()
            self.interrupts.restore()

    def report_signal(self, name: str) -> None:
        """Say on the terminal that a signal arrived while the run ends, and shorten what is left to wait for."""
        self.run.shorten_waits()
        self.progress.line(f"  {name} received: the session is ending; this takes seconds", yellow=True)

    def notify(self, call: Callable[[], object]) -> None:
        """Call the hooks of observers. One that fails is named on the terminal and changes nothing."""
        try:
            call()
        except BaseException as error:  # pytest.fail and sys.exit too
            if isinstance(error, KeyboardInterrupt) and not self.interrupts.is_held:
                raise
            self.progress.line(f"  note: an observer's hook failed: {type(error).__name__}: {error}", yellow=True)

    # What pytest calls.

    @pytest.hookimpl(trylast=True)
    def pytest_sessionstart(self) -> None:
        self.progress.introduce(self.run)

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self) -> None:
        # pytest prints a long traceback now. It takes seconds on a busy machine, and no signal may stop it.
        self.interrupts.hold(self.report_signal)
        # A signal leaves files open. A strict filter for warnings must not turn that into a failure.
        self.config.addinivalue_line("filterwarnings", "ignore::ResourceWarning")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Iterator[None]:
        try:
            self._finish(session)
        finally:
            self.end_progress()
        try:
            return (yield)
        finally:
            # pytest has written report.html and junit.xml, which the first seal could not cover.
            session.exitstatus = self._sealed(session.exitstatus)

    def _finish(self, session: pytest.Session) -> None:
        if self.outcome is not None:
            return
        # A hook of others may hang: until it returns, a signal still ends the session.
        objections = self.objections()
        # Held until `close`: a second Ctrl-C stops neither a rollback nor the writing of the report.
        self.interrupts.hold(self.report_signal)
        session.exitstatus = self._conclude(objections).exit

    def _conclude(self, objections: Sequence[str]) -> SessionOutcome:
        run = self.run
        run.interrupted = self.interrupts.received
        run.objections += objections
        self.outcome = outcome = self._written(run.conclude(self.checks.outcomes()))
        self.notify(lambda: self.config.hook.pytest_cakravia_outcome(config=self.config, outcome=outcome))
        return outcome

    def _sealed(self, status: int) -> int:
        """Seal the report with its pages. Returns the exit status: `status`, or another one if 0 has no seal."""
        if self.outcome is None or not (self.run.folder / VERDICT).exists():
            return status
        try:
            self.outcome = seal_outcome(self.outcome, self.run.folder, signing_key=self._signing_key)
        except Exception as error:  # the verdict of before stays; `cakravia gate` refuses it
            reason = describe_and_log(error, folder=self.run.folder)
            self.progress.line(f"{self.run.id}: the report could not be sealed: {reason}", red=True)
            return self.exit_without_report if status == 0 else status
        return status

    @property
    def _signing_key(self) -> Path | None:
        return self.run.settings.signing_key if self.policy.switches_users else None

    def _written(self, outcome: SessionOutcome) -> SessionOutcome:
        """Write the report. A pipeline that reads the verdict finds none if this fails, so the exit status is not 0."""
        run = self.run
        self.outcome = outcome
        try:
            return write_outcome(
                outcome,
                run.folder,
                reports=run.settings.reports,
                latest=self.latest,
                signing_key=self._signing_key,
                on_trouble=self.progress.line,
            )
        except Exception as error:  # the run has ended, whatever went wrong with its report
            reason = describe_and_log(error, folder=run.folder)
            self.progress.line(f"{run.id}: the report could not be written: {reason}", red=True)
        if outcome.exit == 0:
            return replace(outcome, exit=self.exit_without_report)
        return outcome
