"""Messages about a release: begun, its verdict, users brought back, and the call for a person."""

from __future__ import annotations

import time
from enum import StrEnum
from typing import Final

from cakravia_verify.command_options import with_options
from cakravia_verify.foreign_text import one_line
from cakravia_verify.gate.model import Exit
from cakravia_verify.history.releases import ROLLED_BACK, STUCK, Intent
from cakravia_verify.monitor.notify.message import Message, Urgency
from cakravia_verify.report.document import ReleaseDocument
from cakravia_verify.report.text.figures import key_figures
from cakravia_verify.report.text.sentences import Tone, headline, tone_of, what_happened, what_to_do

_LONGEST_LINE: Final = 600


class ReleaseTopic(StrEnum):
    """What a message about a release tells."""

    BEGUN = "release-begun"
    VERDICT = "release-verdict"
    ROLLED_BACK = "release-rolled-back"
    NEEDS_A_PERSON = "release-needs-a-person"


def begun_message(intent: Intent, *, site: str, who: str, link: str) -> Message:
    """Return the message that a release has begun."""
    users = f"users are on {intent.active_version} ({intent.active})" if intent.active else "there are no users yet"
    return _message(
        intent.release,
        ReleaseTopic.BEGUN,
        Urgency.INFO,
        site=site,
        title=f"{intent.kind} of {intent.version} has begun",
        lines=[
            f"{intent.version} goes into {intent.candidate}; {users}",
            f"By: {who}",
            f"Reason: {intent.reason or 'none was given'}",
            f"Link: {link}" if link else "",
            with_options("Next: cakravia status"),
        ],
    )


def end_message(document: ReleaseDocument, *, link: str) -> Message:
    """Return the message about the end of a release: its verdict, that users were brought back, or the call."""
    topic, urgency = _topic_of(document)
    figures = [f"{figure.label} {figure.value}" for figure in key_figures(document)]
    return _message(
        document.release,
        topic,
        urgency,
        site=document.site,
        title=f"{headline(document)}: {document.kind} of {document.version}",
        lines=[
            what_happened(document),
            f"Why: {document.verdict.why}" if document.verdict.why else "",
            f"Figures: {'; '.join(figures)}",
            f"Reason: {document.reason or 'none was given'}",
            f"Link: {link}",
            f"Next: {what_to_do(document)}",
        ],
    )


def stuck_message(error: str, *, site: str, link: str) -> Message:
    """Return the call for a person because an earlier release could not be undone."""
    return _message(
        f"stuck-{time.time():.0f}",
        ReleaseTopic.NEEDS_A_PERSON,
        Urgency.PAGE,
        site=site,
        title="A PERSON IS NEEDED: an earlier release could not be undone",
        lines=[error, f"Link: {link}" if link else "", with_options("Next: cakravia status, then cakravia recover")],
    )


def _topic_of(document: ReleaseDocument) -> tuple[ReleaseTopic, Urgency]:
    if document.exit_status == Exit.NEEDS_A_PERSON or document.outcome == STUCK:
        return ReleaseTopic.NEEDS_A_PERSON, Urgency.PAGE
    if document.outcome == ROLLED_BACK:
        return ReleaseTopic.ROLLED_BACK, Urgency.WARNING
    return ReleaseTopic.VERDICT, Urgency.INFO if tone_of(document) is Tone.GOOD else Urgency.WARNING


def _message(
    release: str, topic: ReleaseTopic, urgency: Urgency, *, site: str, title: str, lines: list[str]
) -> Message:
    return Message(
        id=f"{release}-{topic}",
        site=site,
        at=time.time(),
        topic=topic,
        urgency=urgency,
        title=one_line(f"[{site}] {title}"),
        text="\n".join(one_line(line, longest=_LONGEST_LINE) for line in lines if line),
    )
