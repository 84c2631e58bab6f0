"""The report of a session: the page with the verdict on top, verdict.json, and the last lines on the terminal."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cakravia_verify.foreign_text import harmless
from cakravia_verify.report.folder import LATEST, point_latest
from cakravia_verify.report.html import pytest_html as pages

if TYPE_CHECKING:
    from cakravia_verify.runs.session_run import SessionOutcome


class ReportHooks:
    """A pytest plugin that reports the outcome of a session.

    On pytest-html's page the verdict comes first, the checks read as sentences and everything is escaped. The last
    lines on the terminal say the same.
    """

    def __init__(
        self,
        config: pytest.Config,
        *,
        folder: Path,
        kind: str,
        subject: str,
        outcome: Callable[[], SessionOutcome | None],
    ) -> None:
        self._folder = folder
        self._kind = kind
        self._subject = subject
        self._outcome = outcome
        self._page: Any = None
        folder.mkdir(parents=True, exist_ok=True)
        # --html and --junitxml name copies: the report's own files are always in its folder.
        self._copies = {
            name: Path(os.path.expandvars(given)).expanduser().absolute()
            for name, given in (("report.html", config.option.htmlpath), ("junit.xml", config.option.xmlpath))
            if given
        }
        config.option.htmlpath = str(folder / "report.html")
        config.option.self_contained_html = True
        config.option.xmlpath = str(folder / "junit.xml")

    def pytest_html_report_title(self, report: Any) -> None:
        self._page = report
        report.title = pages.starting_title(self._kind, self._subject)

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
        if (outcome := self._outcome()) is not None:
            self._page.title = pages.title_of(outcome.document)
            prefix.extend(pages.summary_blocks(outcome.document))

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        for name, place in self._copies.items():
            if place.resolve().is_relative_to(self._folder.parent.resolve()):
                continue  # reports/latest/junit.xml is there already, or is that of another release
            try:
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self._folder / name, place)
            except OSError as error:
                write_to_stderr(f"note: {name} could not be copied to {place}: {error.strerror or error}")

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        from cakravia_verify.report.text.annotations import annotation_lines
        from cakravia_verify.report.text.summary import terminal_summary

        if (outcome := self._outcome()) is None:
            return
        terminalreporter.ensure_newline()
        for line in terminal_summary(
            outcome.document,
            width=terminalreporter._tw.fullwidth,
            colour=terminalreporter.hasmarkup,
            report=str(self._folder / "report.html"),
        ):
            terminalreporter.write_line(line if terminalreporter.hasmarkup else harmless(line))
        if os.environ.get("GITHUB_ACTIONS") == "true":
            for line in annotation_lines(outcome.document):
                terminalreporter.write_line(line)


def write_to_stderr(text: str) -> None:
    """Write one line to standard error, if there is one."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        print(f"cakravia: {text}", file=sys.stderr, flush=True)


def write_outcome(
    outcome: SessionOutcome,
    folder: Path,
    *,
    reports: Path,
    latest: str = LATEST,
    signing_key: Path | None = None,
    on_trouble: Callable[[str], None] = write_to_stderr,
) -> SessionOutcome:
    """Seal the files of the report, write the verdict, sign it, and point `latest` to it. Returns the sealed outcome.

    Raises OSError or CakraviaError if the report cannot be written. The job summary comes last. If it fails,
    `on_trouble` gets one line and the report stays as it is.
    """
    sealed = seal_outcome(outcome, folder, signing_key=signing_key)
    point_latest(reports, folder, name=latest)
    try:
        _add_job_summary(sealed)
    except Exception as error:  # the verdict is written; a courtesy beside it changes nothing
        on_trouble(f"note: the job summary of {sealed.document.release} could not be written: {error}")
    return sealed


def seal_outcome(outcome: SessionOutcome, folder: Path, *, signing_key: Path | None = None) -> SessionOutcome:
    """Write the verdict with the SHA-256 of every file that is in the folder now, and sign it if there is a key.

    Returns the sealed outcome. Raises OSError or CakraviaError if that fails.
    """
    from cakravia_verify.report.attestation.keys import read_signer
    from cakravia_verify.report.attestation.signing import sign_verdict
    from cakravia_verify.report.sealing import seal
    from cakravia_verify.report.verdict.writing import write_verdict

    sealed = replace(outcome, document=replace(outcome.document, files=seal(folder)))
    write_verdict(sealed.document, folder)
    if signing_key is not None and signing_key.exists():
        sign_verdict(folder, read_signer(signing_key))
    return sealed


def _add_job_summary(outcome: SessionOutcome) -> None:
    from cakravia_verify.report.text.summary import job_summary

    if path := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(path).open("a", encoding="utf-8", errors="backslashreplace") as summary:
            summary.write(job_summary(outcome.document))
