"""A browser, and a report as pytest-html really writes it."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--enable-logging=stderr",
    "--v=0",
)
SESSION = '''
"""A session whose only job is to have a report written."""
import pickle
from pathlib import Path

from cakravia_verify.report.html.pytest_html import fill_columns, name_columns, safe_environment
from cakravia_verify.report.html.pytest_html import summary_blocks, title_of

DOCUMENT = pickle.loads(Path(__file__).with_name("document.pickle").read_bytes())
PAGE = {}


def pytest_metadata(metadata):
    metadata["branch"] = "<img src=x onerror=console.error('environment')>"
    safe = safe_environment(metadata)
    metadata.clear()
    metadata.update(safe)


def pytest_html_report_title(report):
    PAGE["report"] = report


def pytest_html_results_summary(prefix):
    PAGE["report"].title = title_of(DOCUMENT)
    prefix.extend(summary_blocks(DOCUMENT))


def pytest_html_results_table_header(cells):
    name_columns(cells)


def pytest_html_results_table_row(report, cells):
    fill_columns(cells, nodeid=report.nodeid, when=report.when)
'''
CHECKS = """
import pytest


def test_no_request_was_lost():
    pass


@pytest.mark.parametrize("where", ["<img src=x onerror=console.error('test-id')>"])
def test_users_reach_the_candidate(where):
    assert where == "here", "<script>console.error('failure')</script>"
"""


class Browser:
    """A browser that opens one page from a file and is gone again."""

    def __init__(self, program: str, profile: Path) -> None:
        self._program = program
        self._profile = profile

    def run(self, page: Path, *options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._program, *QUIET, f"--user-data-dir={self._profile}", *options, page.as_uri()],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )

    def opened(self, page: Path) -> tuple[str, list[str]]:
        """The document after its scripts ran, and everything the page wrote to the console."""
        done = self.run(page, "--dump-dom", "--virtual-time-budget=2000")
        return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Browser:
    program = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if program is None:
        pytest.skip("there is no chromium on the PATH")
    return Browser(program, tmp_path_factory.mktemp("browser"))


@pytest.fixture(scope="session")
def whole_report(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Any], Path]:
    """Writes the report.html of a real pytest session whose verdict is the given document."""
    pages: dict[bytes, Path] = {}

    def written(document: Any) -> Path:
        content = pickle.dumps(document)
        if content not in pages:
            pages[content] = write(content)
        return pages[content]

    def write(content: bytes) -> Path:
        folder = tmp_path_factory.mktemp("session")
        (folder / "document.pickle").write_bytes(content)
        (folder / "conftest.py").write_text(SESSION)
        (folder / "test_release.py").write_text(CHECKS)
        (folder / "pytest.ini").write_text("[pytest]\naddopts = -p no:locust -p no:cakravia\ninitial_sort = original\n")
        command = [sys.executable, "-m", "pytest", "-q", "--html=report.html", "--self-contained-html"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1, done.stdout + done.stderr
        return folder / "report.html"

    return written
