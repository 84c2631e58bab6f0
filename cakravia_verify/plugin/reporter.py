"""pytest's terminal reporter for a session over a suite: one line for each step and check, and the verdict.

pytest's own options keep their meaning: -v shows pytest's own lines, -q shows only what failed, --tb and -r choose what
is shown of failures.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final, TextIO

import pytest

from cakravia_verify.foreign_text import harmless
from cakravia_verify.plugin.sessions import PLUGIN_NAME
from cakravia_verify.system.clock import SYSTEM_CLOCK

if TYPE_CHECKING:
    from cakravia_verify.plugin.sessions.base import Session
    from cakravia_verify.runs.session_run import SessionOutcome, SessionRun

ENDS_EARLY: Final = "failed: users do not sit through the rest"
# The verdict names the report; the reason of an early end stands at its step.
_SAID_ELSEWHERE: Final = ("generated xml file: ", "Generated html report: ")
_DEFAULT_REPORTCHARS: Final = "fE"
_WORDS: Final = {
    "passed": ("passed", {}),
    "skipped": ("skipped", {"yellow": True}),
    "failed": ("FAILED", {"red": True, "bold": True}),
    "error": ("FAILED", {"red": True, "bold": True}),
    "xfailed": ("xfailed", {"yellow": True}),
    "xpassed": ("XPASSED", {"yellow": True}),
}


class TakeOver:
    """Replaces pytest's terminal reporter once pytest has made it. Another plugin's reporter stays."""

    def __init__(self, is_session: Callable[[pytest.Config], bool]) -> None:
        self._is_session = is_session

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        plain = config.pluginmanager.get_plugin("terminalreporter")
        option = config.option
        if not self._is_session(config) or option.collectonly or option.help or option.verbose > 0:
            return
        if type(plain) is not pytest.TerminalReporter:
            return
        config.pluginmanager.unregister(plain)
        reporter = SessionReporter(config, sys.stdout)
        reporter.stats.update(plain.stats)
        config.pluginmanager.register(reporter, "terminalreporter")


class SessionReporter(pytest.TerminalReporter):  # type: ignore[misc]
    """Shows steps and checks as sentences. On a terminal, no line breaks within a word."""

    def __init__(self, config: pytest.Config, file: TextIO) -> None:
        super().__init__(config, file)
        self._began = SYSTEM_CLOCK.monotonic()
        self._failures: list[str] = []
        self._suite = ""
        self.showfspath = False

    def write_to(self, file: Any) -> None:
        """Write to this file from here on."""
        self._tw._file = file

    @property
    def is_quiet(self) -> bool:
        """Whether -q asks for failures and the verdict alone."""
        return int(self.config.option.verbose) < 0

    @property
    def showheader(self) -> bool:
        return False

    def write_line(self, line: str | bytes, **markup: bool) -> None:
        from cakravia_verify.report.text.live_screen import STEP_INDENT, folded

        text = line if isinstance(line, str) else str(line, errors="replace")
        if markup.get("red"):
            self._failures.append(text)
        if not self.isatty or "\x1b" in text:
            super().write_line(text, **markup)
            return
        for each in text.split("\n"):
            for part in folded(each, width=self._tw.fullwidth, indent=_indent_of(each, STEP_INDENT)):
                super().write_line(part, **markup)

    def write_sep(self, sep: str, title: str | None = None, fullwidth: int | None = None, **markup: bool) -> None:
        if title is not None and (title.startswith(_SAID_ELSEWHERE) or title.endswith(ENDS_EARLY)):
            return
        super().write_sep(sep, title, fullwidth, **markup)

    def pytest_collection(self) -> None:
        """Say nothing about the collection. What could not be collected is shown as an error."""

    def report_collect(self, final: bool = False) -> None:
        """Say nothing about the collection."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.CollectReport | pytest.TestReport):  # type: ignore[no-untyped-def]
        """Count the report as pytest does. The line is written here and not by pytest."""
        status = yield
        return (status[0], "", "")

    def pytest_runtest_logstart(self, nodeid: str, location: tuple[str, int | None, str]) -> None:
        """Name the suite whose checks follow, if the session has several."""
        suite = _suite_of(nodeid) or self._suite
        if suite != self._suite and not self.is_quiet and self._session is not None:
            if len({_suite_of(item.nodeid) for item in self._session.items} - {""}) > 1:
                self.write_line(suite, bold=True)
            self._suite = suite

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        super().pytest_runtest_logreport(report)
        category = self.config.hook.pytest_report_teststatus(report=report, config=self.config)[0]
        if category not in _WORDS or (self.is_quiet and not report.failed):
            return
        from cakravia_verify.report.text.check_lines import claim_of
        from cakravia_verify.report.text.live_screen import STEP_INDENT, step_line

        word, markup = _WORDS[category]
        reason = f": {_skip_reason(report)}" if category == "skipped" else ""
        self.write_line(step_line("check", word, note=harmless(f"{claim_of(report.nodeid)}{reason}")), **markup)
        if report.failed:
            for line in _reason_of(report).splitlines():
                if not any(line in shown for shown in self._failures):
                    self.write_line(f"{' ' * STEP_INDENT}{harmless(line)}", red=True)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Write no percentage: the steps show how far the session is."""

    def _write_progress_information_filling_space(self) -> None:
        """Write no percentage."""

    def getreports(self, name: str) -> list[Any]:
        """Return the reports of this outcome that are not shown in full already."""
        return [report for report in super().getreports(name) if not isinstance(report.longrepr, str)]

    def short_test_summary(self) -> None:
        if self.config.option.reportchars != _DEFAULT_REPORTCHARS:
            super().short_test_summary()

    def summary_stats(self) -> None:
        """Write how many checks passed, in the colour of the session's end: green is only for a good one."""
        from cakravia_verify.report.text.formats import seconds_in_words

        counts = ", ".join(text for text, _ in self.build_summary_stats_line()[0])
        took = seconds_in_words(SYSTEM_CLOCK.monotonic() - self._began)
        session: Session[SessionRun] | None = self.config.pluginmanager.get_plugin(PLUGIN_NAME)
        outcome: SessionOutcome | None = session.outcome if session else None
        signal = session.interrupts.received if session else ""
        status = int(outcome.exit) if outcome else None
        text = f"interrupted by {signal}; {counts} in {took}" if signal else f"{counts} in {took}"
        markup = {"green": True} if status == 0 and not signal else {"red": True} if status == 1 else {"yellow": True}
        self.write_line(f"{text}; exit status {status}" if status is not None else text, bold=True, **markup)

    def _report_keyboardinterrupt(self) -> None:
        """Show where the signal arrived only with --full-trace. The last line names the signal."""
        if self.config.option.fulltrace:
            super()._report_keyboardinterrupt()


def _indent_of(line: str, steps: int) -> int:
    """Return the indent of the lines after a folded one: under the text of a step, else under its beginning."""
    lead = len(line) - len(line.lstrip())
    is_step = lead == 2 and len(line) > steps and line[steps - 2 : steps] == "  "
    return steps if is_step else lead


def _suite_of(nodeid: str) -> str:
    """Return the folder of a check; empty for a check of the project's own suite."""
    return PurePath(nodeid.partition("::")[0]).parent.name


def _reason_of(report: pytest.TestReport) -> str:
    """Return why a check failed: the whole text of an error of ours, else the last line of the traceback."""
    if isinstance(report.longrepr, str):
        return report.longrepr
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message).strip().split("\n", 1)[0] if crash is not None else ""


def _skip_reason(report: pytest.TestReport) -> str:
    reason = report.longrepr
    return str(reason[-1]).removeprefix("Skipped: ") if isinstance(reason, tuple) else ""
