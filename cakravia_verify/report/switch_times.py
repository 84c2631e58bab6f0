"""When users were switched, and how long it took."""

from __future__ import annotations

from cakravia_verify.report.document import Event, ReleaseDocument


def switched_at(document: ReleaseDocument) -> float | None:
    """Return when users were sent to the candidate, in seconds since the release began; None if they were not."""
    if document.switched_at is not None:
        return document.switched_at
    done = _events(document, step="switch", kinds=("done",))
    return done[0].at if done else None


def returned_at(document: ReleaseDocument) -> float | None:
    """Return when users were brought back, in seconds since the release began; None if they were not.

    The undo of the switch also drains the candidate. Without a measured instant, the beginning of the undo is closest.
    """
    if document.returned_at is not None:
        return document.returned_at
    undone = _events(document, step="switch", kinds=("undone",))
    return max(undone[0].at - undone[0].seconds, 0.0) if undone and switched_at(document) is not None else None


def switch_seconds(document: ReleaseDocument) -> float | None:
    """Return how many seconds the switch took, from decision to effect; None if there was none."""
    if document.switch_seconds is not None:
        return document.switch_seconds
    done = _events(document, step="switch", kinds=("done",))
    return done[0].seconds if done else None


def _events(document: ReleaseDocument, *, step: str, kinds: tuple[str, ...]) -> list[Event]:
    return [event for event in document.timeline if event.step == step and event.kind in kinds]
