"""The session of a release: opened before collection, watched check by check, concluded whatever happens."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cakravia_verify.assembly import open_site
from cakravia_verify.errors import CakraviaError, LockHeld, RollbackFailed, UsageError
from cakravia_verify.gate import Exit
from cakravia_verify.plugin.checks import REQUIRED, Checks
from cakravia_verify.plugin.options import overrides
from cakravia_verify.plugin.progress import Progress
from cakravia_verify.plugin.signals import Interrupts
from cakravia_verify.release import Moment
from cakravia_verify.report import pytest_html as pages
from cakravia_verify.report.latest import point_latest, require_writable, seal
from cakravia_verify.run import Outcome, ReleaseRun, Request
from cakravia_verify.settings import load_settings

NAME = "cakravia-gatekeeper"
# Plugins and options under which the order, number or independence of a release's steps is not ours to keep.
UNFIT_PLUGINS = {"randomly": "-p no:randomly", "random_order": "-p no:random_order"}


class Gatekeeper:
    """Owns the release run of a pytest session."""

    def __init__(self, config: pytest.Config, kind: str) -> None:
        if kind not in REQUIRED:
            raise pytest.UsageError(f"pytest_cakravia_kind says {kind!r}; it may say {' or '.join(REQUIRED)}")
        self.config = config
        self.kind = kind
        self.checks = Checks(kind)
        self.progress = Progress(config)
        self.interrupts = Interrupts()
        self.outcome: Outcome | None = None
        self._page: Any = None
        self.run: ReleaseRun = self._new_run()

    def _new_run(self) -> ReleaseRun:
        config = self.config
        refuse_unfit(config)
        version = config.getoption("release") or ""
        if self.kind == "deploy" and not version:
            raise pytest.UsageError("which version? As in: pytest suites/deploy --version v1.2.0")
        try:
            settings = load_settings(Path(config.getoption("site")), overrides=overrides(config))
            request = Request(
                kind=self.kind,
                version=version,
                reason=config.getoption("reason"),
                redeploy=config.getoption("redeploy"),
                wait=config.getoption("wait"),
            )
            if version:
                from cakravia_verify.slots import checked_version

                checked_version(version)
            require_writable(settings.reports)
            return ReleaseRun(open_site(settings), request, audience=self._audience)
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
        folder = self.run.folder
        folder.mkdir(parents=True, exist_ok=True)
        self.config.option.htmlpath = str(folder / "report.html")
        self.config.option.self_contained_html = True
        self.config.option.xmlpath = str(folder / "junit.xml")

    def close(self) -> None:
        """The site is free, and the release concluded: here at the latest, should a hook have kept pytest from it."""
        try:
            if self.outcome is None and self.run.has_started:
                self.run.objections.append("the session broke before its end: see the traceback of a hook")
                self.interrupts.hold(self._told_while_busy)
                self._conclude()
        finally:
            self.run.close()
            self.interrupts.restore()

    def _audience(self, moment: Moment) -> None:
        self.progress.moment(moment)
        self._tell(lambda: self.config.hook.pytest_cakravia_moment(config=self.config, moment=moment))

    # What pytest calls.

    @pytest.hookimpl(trylast=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        self.progress.opened(self.run)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]):  # type: ignore[no-untyped-def]
        self.checks.collected(items)
        result = yield
        self.checks.selected(items)
        return result

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.checks.selected(session.items)
        # One line a check from here on: their names are sentences.
        self.config.option.verbose = max(1, self.config.option.verbose)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item):  # type: ignore[no-untyped-def]
        self.checks.observe_call(item)
        return (yield)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.checks.reported(report)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]
        report = yield
        if call.excinfo is not None and isinstance(call.excinfo.value, CakraviaError):
            # What went wrong with the release, in words; where in our code it was noticed helps nobody at 2 a.m.
            report.longrepr = str(call.excinfo.value)
        if report.failed and not hasattr(report, "wasxfail") and self.checks.outcomes().get(item.name) is not None:
            item.session.shouldfail = f"{item.name} failed: users do not sit through the rest"
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.outcome is not None:
            return
        # Held until `close`: a second Ctrl-C breaks neither the way back nor the writing of the report.
        self.interrupts.hold(self._told_while_busy)
        session.exitstatus = self._conclude().exit

    def _told_while_busy(self, name: str) -> None:
        self.progress.line(f"  {name} received: the release is being concluded; this takes seconds", yellow=True)

    def _conclude(self) -> Outcome:
        run = self.run
        run.interrupted = self.interrupts.seen
        if not run.interrupted and not run.release.failure:
            run.objections += self._objections()
        self.outcome = run.conclude(self.checks.outcomes())
        try:
            self._write(self.outcome)
        except (CakraviaError, OSError) as error:
            # Whoever gates on the verdict finds none, and the exit status must not say otherwise.
            if self.outcome.exit is Exit.PROMOTED:
                self.outcome = replace(self.outcome, exit=Exit.NEEDS_A_PERSON)
            self.progress.line(f"{run.release.id}: its report could not be written: {error}", red=True)
        outcome = self.outcome
        self._tell(lambda: self.config.hook.pytest_cakravia_outcome(config=self.config, outcome=outcome))
        return outcome

    def _objections(self) -> list[str]:
        """What operators' own gates say; one that breaks objects."""
        try:
            said = self.config.hook.pytest_cakravia_gate(config=self.config, release=self.run.release)
        except Exception as error:  # whatever a gate of somebody else does, the release comes to its end
            return [f"a gate broke: {type(error).__name__}: {error}"]
        return [str(text) for text in said if text]

    def _tell(self, tell: Callable[[], object]) -> None:
        """Somebody else's hook looked on; one that breaks is named and changes nothing."""
        try:
            tell()
        except Exception as error:
            self.progress.line(f"  note: an observer broke: {type(error).__name__}: {error}", yellow=True)

    def _write(self, outcome: Outcome) -> None:
        from cakravia_verify.report.summary import job_summary
        from cakravia_verify.report.verdict import write_verdict

        folder = self.run.folder
        document = replace(outcome.document, files=seal(folder))
        self.outcome = replace(outcome, document=document)
        write_verdict(document, folder)
        point_latest(self.run.settings.reports, folder)
        if path := os.environ.get("GITHUB_STEP_SUMMARY"):
            with Path(path).open("a", encoding="utf-8") as summary:
                summary.write(job_summary(document))

    # pytest-html: the verdict on top, the checks as sentences, everything escaped.

    def pytest_html_report_title(self, report: Any) -> None:
        intent = self.run.release.intent
        self._page = report
        report.title = pages.starting_title(intent.kind, intent.version)

    @pytest.hookimpl(optionalhook=True)
    def pytest_metadata(self, metadata: dict[str, object]) -> None:
        escaped = pages.safe_environment(metadata)
        metadata.clear()
        metadata.update(escaped)

    def pytest_html_results_table_header(self, cells: list[str]) -> None:
        pages.name_columns(cells)

    def pytest_html_results_table_row(self, report: pytest.TestReport, cells: list[str]) -> None:
        pages.fill_columns(cells, nodeid=report.nodeid, when=report.when)

    def pytest_html_results_summary(self, prefix: list[str]) -> None:
        if self.outcome is not None:
            self._page.title = pages.title_of(self.outcome.document)
            prefix.extend(pages.summary_blocks(self.outcome.document))

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        from cakravia_verify.report.summary import terminal_summary

        if self.outcome is None:
            return
        width = terminalreporter._tw.fullwidth
        terminalreporter.ensure_newline()
        report = str(self.run.folder / "report.html")
        colour = terminalreporter.hasmarkup
        for line in terminal_summary(self.outcome.document, width=width, colour=colour, report=report):
            terminalreporter.write_line(line)


def refuse_unfit(config: pytest.Config) -> None:
    """Sessions whose order or number of checks is not what the suite says are refused before anything is touched."""
    if getattr(config.option, "numprocesses", None) or getattr(config.option, "dist", "no") not in ("no", None):
        raise pytest.UsageError("a release has one order: run it without -n / --dist (pytest-xdist)")
    if getattr(config.option, "reruns", None):
        raise pytest.UsageError("a release is measured without retries: run it without --reruns")
    for name, remedy in UNFIT_PLUGINS.items():
        if config.pluginmanager.hasplugin(name):
            raise pytest.UsageError(f"a release has one order: run it with {remedy}")
    if not hasattr(config.option, "htmlpath"):
        raise pytest.UsageError("the report needs pytest-html: pip install pytest-html, and run without -p no:html")
    if config.getoption("usepdb", False):
        raise pytest.UsageError("a release does not stop in a debugger while users wait: run it without --pdb")
