"""The session of a load: opened before collection, watched check by check, concluded whatever happens."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cakravia_verify.assembly import open_site
from cakravia_verify.errors import CakraviaError, LockHeld, UsageError
from cakravia_verify.gate import Exit
from cakravia_verify.load_run import KIND, LoadRun
from cakravia_verify.plugin.checks import Checks
from cakravia_verify.plugin.gatekeeper import refuse_unfit
from cakravia_verify.plugin.options import overrides
from cakravia_verify.plugin.progress import Progress
from cakravia_verify.plugin.signals import Interrupts
from cakravia_verify.report import pytest_html as pages
from cakravia_verify.report.latest import point_latest, require_writable, seal
from cakravia_verify.run import Outcome
from cakravia_verify.settings import load_settings

DEFAULT_DURATION = 60.0
LONGEST_DURATION = 86_400.0
LATEST_LOAD = "latest-load"


class LoadKeeper:
    """Owns the load of a pytest session."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.checks = Checks(KIND)
        self.progress = Progress(config)
        self.interrupts = Interrupts()
        self.outcome: Outcome | None = None
        self._page: Any = None
        self.run = self._new_run()

    def _new_run(self) -> LoadRun:
        config = self.config
        refuse_unfit(config)
        if config.getoption("release"):
            raise pytest.UsageError("a load releases nothing: run suites/load without --version / --release")
        asked = config.getoption("duration")
        duration = DEFAULT_DURATION if asked is None else asked
        if not (math.isfinite(duration) and 0 < duration <= LONGEST_DURATION):
            raise pytest.UsageError(
                f"--duration {duration:g}: name seconds, more than 0 and at most {LONGEST_DURATION:g}"
            )
        try:
            settings = load_settings(Path(config.getoption("site")), overrides=overrides(config))
            require_writable(settings.reports)
            return LoadRun(open_site(settings), duration=duration, audience=self.progress.moment)
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
        folder = self.run.folder
        folder.mkdir(parents=True, exist_ok=True)
        self.config.option.htmlpath = str(folder / "report.html")
        self.config.option.self_contained_html = True
        self.config.option.xmlpath = str(folder / "junit.xml")

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

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]):  # type: ignore[no-untyped-def]
        self.checks.collected(items)
        result = yield
        self.checks.selected(items)
        return result

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.checks.selected(session.items)
        self.config.option.verbose = max(1, self.config.option.verbose)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item):  # type: ignore[no-untyped-def]
        self.checks.observe_call(item)
        return (yield)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.checks.reported(report)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]
        report = yield
        if call.excinfo is not None and isinstance(call.excinfo.value, CakraviaError):
            report.longrepr = str(call.excinfo.value)
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.outcome is not None:
            return
        self.interrupts.hold(lambda name: self.progress.line(f"  {name} received: ending the load", yellow=True))
        session.exitstatus = self._conclude().exit

    def _conclude(self) -> Outcome:
        self.run.interrupted = self.interrupts.seen
        self.outcome = self.run.conclude(self.checks.outcomes())
        try:
            self._write(self.outcome)
        except (CakraviaError, OSError) as error:
            # Whoever gates on the verdict finds none, and the exit status must not say otherwise.
            if self.outcome.exit is Exit.WITHIN_BUDGET:
                self.outcome = replace(self.outcome, exit=Exit.INCONCLUSIVE)
            self.progress.line(f"{self.run.id}: its report could not be written: {error}", red=True)
        self.config.hook.pytest_cakravia_outcome(config=self.config, outcome=self.outcome)
        return self.outcome

    def _write(self, outcome: Outcome) -> None:
        from cakravia_verify.report.summary import job_summary
        from cakravia_verify.report.verdict import write_verdict

        folder = self.run.folder
        document = replace(outcome.document, files=seal(folder))
        self.outcome = replace(outcome, document=document)
        write_verdict(document, folder)
        point_latest(self.run.settings.reports, folder, name=LATEST_LOAD)
        if path := os.environ.get("GITHUB_STEP_SUMMARY"):
            with Path(path).open("a", encoding="utf-8") as summary:
                summary.write(job_summary(document))

    # pytest-html: the verdict on top, the checks as sentences, everything escaped.

    def pytest_html_report_title(self, report: Any) -> None:
        self._page = report
        report.title = pages.starting_title(KIND, self.run.subject)

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
        terminalreporter.ensure_newline()
        lines = terminal_summary(
            self.outcome.document,
            width=terminalreporter._tw.fullwidth,
            colour=terminalreporter.hasmarkup,
            report=str(self.run.folder / "report.html"),
        )
        for line in lines:
            terminalreporter.write_line(line)
