"""Traffic does not switch: nginx, its configuration, and what answers users."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Final

from cakravia_verify.checks.diagnosis.cause import Cause, Chapter
from cakravia_verify.checks.diagnosis.evidence import SiteEvidence
from cakravia_verify.site.site import SERVED_SLOT_HEADER

CACHES: Final = ("Age", "X-Cache", "CF-Cache-Status", "X-Varnish")


def causes(evidence: SiteEvidence) -> Iterator[Cause]:
    """Yield causes if users get no answer, or if what runs is not what was chosen."""
    yield from _of_configuration(evidence)
    yield from _of_answers(evidence)
    yield from _of_drift(evidence)


def changed_lines(before: str, after: str, *, most: int = 6) -> tuple[str, ...]:
    """Return the first lines that differ, with `-` and `+`."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0)
    changed = [line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    more = [f"... and {len(changed) - most} more lines"] if len(changed) > most else []
    return (*changed[:most], *more)


def _of_configuration(evidence: SiteEvidence) -> Iterator[Cause]:
    state = evidence.configuration
    if state.refusal:
        yield Cause(
            Chapter.SWITCHING,
            95,
            "nginx refuses its configuration",
            (state.refusal,),
            "correct what nginx names, then: cakravia recover",
        )
    if state.written and state.loaded and state.written != state.loaded:
        yield Cause(
            Chapter.SWITCHING,
            85,
            "nginx.conf was changed by hand, or by another tool",
            changed_lines(state.loaded, state.written),
            "cakravia recover writes it anew from the settings",
        )
    elif state.wanted and state.written and state.wanted != state.written:
        yield Cause(
            Chapter.SWITCHING,
            30,
            "the settings changed since nginx read its configuration",
            changed_lines(state.written, state.wanted),
            "cakravia recover loads them",
        )


def _of_answers(evidence: SiteEvidence) -> Iterator[Cause]:
    state, answer = evidence.state, evidence.users
    if state is None or state.is_empty:
        return
    if not state.proxy.is_running:
        log = tuple(evidence.proxy_log.splitlines()[-2:])
        yield Cause(Chapter.SWITCHING, 95, "the proxy does not run", log, "cakravia up")
        return
    if answer.status_code is None:
        yield Cause(Chapter.SWITCHING, 90, "the proxy gives no answer to users", (answer.problem,), "cakravia recover")
    elif SERVED_SLOT_HEADER not in answer.headers:
        yield Cause(
            Chapter.SWITCHING,
            92,
            "another program answers at the address of the proxy",
            (f"status {answer.status_code}, Server: {answer.headers.get('Server', 'not named')}",),
            "stop that program, or set [proxy] listen to another address",
        )
    cached = [f"{name}: {answer.headers[name]}" for name in CACHES if name in answer.headers]
    if cached:
        yield Cause(
            Chapter.SWITCHING,
            60,
            "a cache in front of the site keeps old answers",
            tuple(cached),
            "let health endpoints and pages say Cache-Control: no-store, and empty that cache",
        )


def _of_drift(evidence: SiteEvidence) -> Iterator[Cause]:
    state = evidence.state
    if state is None or state.is_empty or not state.proxy.is_running:
        return
    for number, line in enumerate(state.drift):
        yield Cause(
            Chapter.SWITCHING, max(40, 80 - 10 * number), line, _log_errors(evidence.proxy_log), "cakravia recover"
        )


def _log_errors(log: str) -> tuple[str, ...]:
    lines = [line for line in log.splitlines() if any(word in line for word in ("[emerg]", "[alert]", "[error]"))]
    return tuple(line[:300] for line in lines[-2:])
