"""The verdict as a block of HTML, without outside files and scripts. All text from outside is escaped."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from cakravia_verify.gate.model import CheckStatus, Decision, Exit
from cakravia_verify.kinds import policy_of
from cakravia_verify.report.document import ReleaseDocument
from cakravia_verify.report.html.content import contents_of
from cakravia_verify.report.html.timeline import timeline_of
from cakravia_verify.report.html.traffic_chart import traffic_chart_of
from cakravia_verify.report.text.check_lines import check_lines
from cakravia_verify.report.text.figures import key_figures
from cakravia_verify.report.text.formats import count_in_words, one_line, seconds_in_words, visible, zero_in_words
from cakravia_verify.report.text.lost_stories import story_of
from cakravia_verify.report.text.sentences import Tone, headline, tone_of, what_happened, what_to_do

if TYPE_CHECKING:
    from jinja2 import Environment

SYMBOLS: Final = {CheckStatus.PASSED: "✓", CheckStatus.FAILED: "✗", CheckStatus.UNKNOWN: "?"}
_LOST_ROWS: Final = 20
_FIRST_COLUMNS: Final = ("id", "method", "name", "status", "served_slot", "detail")


def render_summary(document: ReleaseDocument) -> str:
    """Return the whole verdict as HTML for any page. Its styles apply to the class `cakravia` only."""
    tone = tone_of(document)
    return (
        templates()
        .get_template("summary.html.j2")
        .render(
            document=document,
            tone=tone,
            is_good=tone is Tone.GOOD,
            sign=_sign(document),
            kind=policy_of(document.kind).title,
            headline=headline(document),
            sentence=what_happened(document),
            next_step=what_to_do(document),
            figures=key_figures(document),
            checks=check_lines(document),
            tally=_tally(document),
            timeline=timeline_of(document),
            chart=traffic_chart_of(document),
            lost=_lost(document),
            stories=[story_of(row) for row in document.lost_rows[:_LOST_ROWS]],
            particulars=_particulars(document),
            traffic=[
                (f"traffic: {name}", value) for name, value in _flat(document.traffic) if not name.startswith("content")
            ],
            content=contents_of(document),
            symbols=SYMBOLS,
            address=_address,
            count=count_in_words,
            duration=seconds_in_words,
            bound=zero_in_words,
        )
    )


def _address(name: str) -> str:
    """Return the relative address of a file: no name begins a scheme or leaves its attribute."""
    return quote(name, errors="replace")


def render_frame() -> str:
    """Return what a page around the verdict needs for narrow screens, dark screens and paper."""
    return templates().get_template("frame.html.j2").render()


@cache
def templates() -> Environment:
    """Return the templates of all pages. They escape every value and show only characters that are displayed."""
    # Loaded on first use: a session with a wrong option does not wait for a template engine.
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("cakravia_verify.report.html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=True,
        finalize=_final,
    )


def _final(value: Any) -> Any:
    # The templates made the markup. All other text may come from outside.
    return visible(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _sign(document: ReleaseDocument) -> str:
    if document.exit_status == Exit.NEEDS_A_PERSON:
        return "person"
    if tone_of(document) is Tone.GOOD:
        return "promote"
    if document.verdict.decision in (Decision.OVER_BUDGET, Decision.FAILED):
        return "person"
    return "back" if document.verdict.decision is Decision.ROLL_BACK else "unsure"


def _tally(document: ReleaseDocument) -> str:
    counted = Counter(check.standing for check in document.verdict.checks)
    return ", ".join(f"{counted[standing]} {standing}" for standing in CheckStatus if counted[standing]) or "none"


def _lost(document: ReleaseDocument) -> Mapping[str, object]:
    """Return the first raw rows of lost requests, without the columns that are empty in all of them."""
    rows = document.lost_rows[:_LOST_ROWS]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    # The most useful columns come first: most screens show only these without scrolling.
    columns.sort(key=lambda name: _FIRST_COLUMNS.index(name) if name in _FIRST_COLUMNS else len(_FIRST_COLUMNS))
    columns = [name for name in columns if any(row.get(name) not in (None, "") for row in rows)]
    measured = document.evidence.measured
    total = measured.lost if measured is not None and measured.lost is not None else len(document.lost_rows)
    return {
        "columns": columns,
        "rows": [["" if row.get(name) is None else one_line(str(row.get(name))) for name in columns] for row in rows],
        "note": f"first {len(rows):,} of {total:,}" if len(rows) < total else f"all {len(rows):,}",
    }


def _particulars(document: ReleaseDocument) -> list[tuple[str, str]]:
    facts = {
        "release": document.release,
        "artifact": document.digest,
        "reason": document.reason,
        "by": document.who,
        "on host": document.host,
        "platform": document.platform,
        "began": document.started_at,
        "ended": document.finished_at,
        "took": seconds_in_words(document.seconds),
        "outcome": document.outcome,
        "exit status": str(document.exit_status),
        "settings": document.settings_digest,
        "made by": document.tool,
    }
    return [(name, value) for name, value in facts.items() if value]


def _flat(facts: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield every plain value of nested mappings with its full name."""
    for name, value in facts.items():
        full = f"{prefix}{name}".replace("_", " ")
        if isinstance(value, Mapping):
            yield from _flat(value, f"{full} ")
        elif isinstance(value, float) and math.isfinite(value):
            yield full, f"{value:,.6g}"
        elif isinstance(value, int) and not isinstance(value, bool):
            yield full, f"{value:,}"
        elif value not in (None, "", [], ()):
            yield full, one_line(str(value))
