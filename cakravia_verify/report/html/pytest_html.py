"""What pytest-html's hooks need to show a verdict. Nothing here imports pytest.

pytest-html does not escape what its hooks append, nor test names and environment values. So this module escapes them.
pytest-html escapes titles.
"""

from __future__ import annotations

import html
from collections.abc import Mapping

from cakravia_verify.report.document import ReleaseDocument
from cakravia_verify.report.html.page import render_frame, render_summary
from cakravia_verify.report.text.check_lines import claim_of
from cakravia_verify.report.text.formats import one_line
from cakravia_verify.report.text.sentences import headline

_RESULT, _TEST, _DURATION = range(3)


def summary_blocks(document: ReleaseDocument) -> list[str]:
    """Return what to add to `prefix` in pytest_html_results_summary: the page's frame and the verdict."""
    return [render_frame(), render_summary(document)]


def title_of(document: ReleaseDocument) -> str:
    """Return the page's title with the verdict.

    pytest-html reads the title when it writes the page. So pytest_html_results_summary can still change the title of
    the object that pytest_html_report_title received.
    """
    return one_line(f"{headline(document)}: {document.version} on {document.site}", limit=200)


def starting_title(kind: str, version: str) -> str:
    """Return the page's title without a verdict. It stays if the session is killed."""
    return one_line(f"{kind} {version}: no verdict yet", limit=200)


def name_columns(cells: list[str]) -> None:
    """Set the columns in pytest_html_results_table_header: result, claim and duration."""
    cells[_TEST] = '<th class="sortable" data-column-type="testId">Claim</th>'
    del cells[_DURATION + 1 :]


def fill_columns(cells: list[str], *, nodeid: str, when: str = "call") -> None:
    """Set the cells in pytest_html_results_table_row: the test as its claim, and its id, both escaped."""
    if not cells:
        return
    place = one_line(nodeid if when == "call" else f"{nodeid} ({when})", limit=400)
    claim = html.escape(claim_of(nodeid))
    cells[_TEST] = f'<td class="col-testId">{claim}<br><small>{html.escape(place)}</small></td>'
    del cells[_DURATION + 1 :]


def safe_environment(metadata: Mapping[str, object]) -> dict[str, object]:
    """The environment table's values escaped: pytest-html lets the browser read them as HTML, and a pipeline's
    variables hold branch names and commit messages."""
    return {one_line(str(name)): _escaped(value) for name, value in metadata.items()}


def _escaped(value: object) -> object:
    if isinstance(value, Mapping):
        return {_text(str(name)): _text(str(one)) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return ", ".join(_text(str(one)) for one in value)
    return _text(str(value))


def _text(value: str) -> str:
    return html.escape(one_line(value))
