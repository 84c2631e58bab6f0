"""The session of a release: opened before collection, watched check by check, concluded whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from cakravia_verify.errors import CakraviaError, LockHeld, RollbackFailed, UsageError
from cakravia_verify.gate.model import Exit
from cakravia_verify.kinds import SessionPolicy
from cakravia_verify.plugin.options import overrides
from cakravia_verify.plugin.progress import Progress
from cakravia_verify.plugin.report_hooks import ReportHooks, write_outcome
from cakravia_verify.plugin.required_checks import Checks
from cakravia_verify.plugin.signals import Interrupts
from cakravia_verify.release.machine import StepEvent
from cakravia_verify.report.folder import require_writable
from cakravia_verify.runs.preparation import Request
from cakravia_verify.runs.release_run import Outcome, ReleaseRun
from cakravia_verify.settings.loading import load_settings
from cakravia_verify.site.assembly import open_site

NAME = "cakravia-gatekeeper"
# Plugins and options under which the order, number or independence of a release's steps is not ours to keep.
UNFIT_PLUGINS = {"randomly": "-p no:randomly", "random_order": "-p no:random_order"}


class ReleaseSession:
    """Owns the release run of a pytest session."""

    def __init__(self, config: pytest.Config, policy: SessionPolicy, *, required: Sequence[str]) -> None:
        self.config = config
        self.policy = policy
        self.checks = Checks(required)
        self.progress = Progress(config)
        self.interrupts = Interrupts()
        self.outcome: Outcome | None = None
        self.run: ReleaseRun = self._new_run()

    def _new_run(self) -> ReleaseRun:
        config = self.config
        refuse_unfit(config)
        if config.getoption("duration") is not None:
            raise pytest.UsageError("--duration is for suites/load; a release bakes for [release] bake (--bake)")
        version = config.getoption("release") or ""
        if self.policy.needs_version and not version:
            raise pytest.UsageError("which version? As in: pytest suites/deploy --version v1.2.0")
        try:
            settings = load_settings(Path(config.getoption("site")), overrides=overrides(config))
            request = Request(
                kind=self.policy.name,
                version=version,
                reason=config.getoption("reason"),
                redeploy=config.getoption("redeploy"),
                wait=config.getoption("wait"),
            )
            if version:
                from cakravia_verify.slots import checked_version

                checked_version(version)
            require_writable(settings.reports)
            return ReleaseRun(open_site(settings), request, on_event=self._on_event)
        except UsageError as error:
            raise pytest.UsageError(str(error)) from error

    def open(self) -> None:
        """The site is locked and it is settled what this session does, or the session ends here, nothing touched."""
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
        intent = self.run.release.intent
        report = ReportHooks(
            self.config,
            folder=self.run.folder,
            kind=intent.kind,
            subject=intent.version,
            outcome=lambda: self.outcome,
        )
        self.config.pluginmanager.register(report)
        self.config.pluginmanager.register(self.checks)

    def close(self) -> None:
        """The site is free, and the release concluded: here at the latest, should a hook have kept pytest from it."""
        try:
            if self.outcome is None and self.run.has_started:
                self.interrupts.hold(self._told_while_busy)
                self._conclude(["the session broke before its end: see what a hook did"])
        finally:
            self.run.close()
            self.interrupts.restore()

    def _on_event(self, event: StepEvent) -> None:
        self.progress.event(event)
        self._tell(lambda: self.config.hook.pytest_cakravia_step(config=self.config, event=event))

    # What pytest calls.

    @pytest.hookimpl(trylast=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        self.progress.opened(self.run)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item):  # type: ignore[no-untyped-def]
        report = yield
        if report.failed and not hasattr(report, "wasxfail") and self.checks.outcomes().get(item.name) is not None:
            item.session.shouldfail = f"{item.name} failed: users do not sit through the rest"
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self) -> None:
        # pytest draws the whole traceback now, which takes a busy machine seconds: no signal may break that off.
        self.interrupts.hold(self._told_while_busy)
        # What the signal left half opened somewhere is no news, however strict the session is about warnings.
        self.config.addinivalue_line("filterwarnings", "ignore::ResourceWarning")

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.outcome is not None:
            return
        # Somebody else's gate may hang: until it has spoken a signal still ends the session.
        objections = [] if self.interrupts.seen or self.run.release.failure else self._objections()
        # Held until `close`: a second Ctrl-C breaks neither the way back nor the writing of the report.
        self.interrupts.hold(self._told_while_busy)
        session.exitstatus = self._conclude(objections).exit

    def _told_while_busy(self, name: str) -> None:
        self.run.shorten_waits()
        self.progress.line(f"  {name} received: the release is being concluded; this takes seconds", yellow=True)

    def _conclude(self, objections: Sequence[str]) -> Outcome:
        run = self.run
        run.interrupted = self.interrupts.seen
        run.objections += objections
        self.outcome = run.conclude(self.checks.outcomes())
        try:
            self.outcome = write_outcome(
                self.outcome, run.folder, reports=run.settings.reports, tell=self.progress.line
            )
        except Exception as error:  # whatever it is: the release has come to its end
            # Whoever gates on the verdict finds none, and the exit status must not say otherwise.
            if self.outcome.exit is Exit.PROMOTED:
                self.outcome = replace(self.outcome, exit=Exit.NEEDS_A_PERSON)
            kind = "" if isinstance(error, CakraviaError | OSError) else f"{type(error).__name__}: "
            self.progress.line(f"{run.release.id}: its report could not be written: {kind}{error}", red=True)
        outcome = self.outcome
        self._tell(lambda: self.config.hook.pytest_cakravia_outcome(config=self.config, outcome=outcome))
        return outcome

    def _objections(self) -> list[str]:
        """What operators' own gates say; one that breaks objects."""
        try:
            said = self.config.hook.pytest_cakravia_gate(config=self.config, release=self.run.release)
        except BaseException as error:  # pytest.fail and sys.exit too: the release comes to its end
            if isinstance(error, KeyboardInterrupt) and self.interrupts.seen:
                return []
            return [f"a gate broke: {type(error).__name__}: {error}"]
        return [str(text) for text in said if text]

    def _tell(self, tell: Callable[[], object]) -> None:
        """Somebody else's hook looked on; one that breaks is named and changes nothing."""
        try:
            tell()
        except BaseException as error:  # pytest.fail and sys.exit too
            if isinstance(error, KeyboardInterrupt) and not self.interrupts.is_held:
                raise
            self.progress.line(f"  note: an observer broke: {type(error).__name__}: {error}", yellow=True)


def refuse_unfit(config: pytest.Config) -> None:
    """Sessions whose order or number of checks is not what the suite says are refused before anything is touched."""
    if getattr(config.option, "numprocesses", None) or getattr(config.option, "dist", "no") not in ("no", None):
        raise pytest.UsageError("a release has one order: run it without -n / --dist (pytest-xdist)")
    if getattr(config.option, "reruns", None):
        raise pytest.UsageError("a release is measured without retries: run it without --reruns")
    for name, remedy in UNFIT_PLUGINS.items():
        if config.pluginmanager.hasplugin(name):
            raise pytest.UsageError(f"a release has one order: run it with {remedy}")
    if config.pluginmanager.hasplugin("locust"):
        raise pytest.UsageError(
            "Locust's own pytest plugin patches the sockets of this process: run it with -p no:locust"
        )
    if not hasattr(config.option, "htmlpath"):
        raise pytest.UsageError("the report needs pytest-html: pip install pytest-html, and run without -p no:html")
    if config.getoption("usepdb", False):
        raise pytest.UsageError("a release does not stop in a debugger while users wait: run it without --pdb")
