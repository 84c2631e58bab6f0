"""What pytest-html's hooks need to carry a verdict. Nothing here imports pytest.

pytest-html puts what its hooks append into the page as it is, and test names and environment values too: whoever
calls it has to escape. Titles are the exception: pytest-html escapes those itself.
"""

from __future__ import annotations

import html
from collections.abc import Mapping

from cakravia_verify.report.document import ReleaseDocument
from cakravia_verify.report.html.page import render_frame, render_summary
from cakravia_verify.report.text.wording import claim_of, headline, one_line

_RESULT, _TEST, _DURATION = range(3)


def summary_blocks(document: ReleaseDocument) -> list[str]:
    """What to add to `prefix` in pytest_html_results_summary: the page's frame and the verdict."""
    return [render_frame(), render_summary(document)]


def title_of(document: ReleaseDocument) -> str:
    """The page's title once the verdict is known.

    pytest-html reads the title of its report object only when it writes the page, so the object seen in
    pytest_html_report_title may still be renamed in pytest_html_results_summary.
    """
    return one_line(f"{headline(document)}: {document.version} on {document.site}", limit=200)


def starting_title(kind: str, version: str) -> str:
    """The page's title while the verdict is not known; what remains if the session dies."""
    return one_line(f"{kind} {version}: no verdict yet", limit=200)


def name_columns(cells: list[str]) -> None:
    """In pytest_html_results_table_header: result, claim and duration; no column of links, which is always empty."""
    cells[_TEST] = '<th class="sortable" data-column-type="testId">Claim</th>'
    del cells[_DURATION + 1 :]


def fill_columns(cells: list[str], *, nodeid: str, when: str = "call") -> None:
    """In pytest_html_results_table_row: the test told as the claim it makes, its id below, both escaped."""
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
