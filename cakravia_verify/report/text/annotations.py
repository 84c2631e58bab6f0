"""Annotations of a pipeline: the checks that did not pass, as workflow commands of GitHub and Forgejo."""

from __future__ import annotations

from typing import Final

from cakravia_verify.gate.model import CheckStatus
from cakravia_verify.report.document import ReleaseDocument
from cakravia_verify.report.text.check_lines import check_lines
from cakravia_verify.report.text.formats import one_line
from cakravia_verify.report.text.sentences import Tone, headline, tone_of, what_happened

# GitHub shows ten errors and ten warnings of a step.
_MOST: Final = 9
_LEVELS: Final = {CheckStatus.FAILED: "error", CheckStatus.UNKNOWN: "warning"}


def annotation_lines(document: ReleaseDocument) -> list[str]:
    """Return one line for the outcome and one for each of the first checks that did not pass; none for a good end."""
    tone = tone_of(document)
    if tone is Tone.GOOD:
        return []
    title = f"{headline(document)}: {document.version} on {document.site}"
    lines = [_command("error" if tone is Tone.BAD else "warning", title, what_happened(document))]
    missed = [check for check in check_lines(document) if check.standing in _LEVELS]
    return lines + [
        _command(_LEVELS[check.standing], check.title, f"{check.value} (required: {check.threshold})")
        for check in missed[:_MOST]
    ]


def _command(level: str, title: str, message: str) -> str:
    return f"::{level} title={_escaped(title).replace(':', '%3A').replace(',', '%2C')}::{_escaped(message)}"


def _escaped(text: str) -> str:
    """Return `text` on one line, as a workflow command needs it."""
    return one_line(text, limit=600).replace("%", "%25")
