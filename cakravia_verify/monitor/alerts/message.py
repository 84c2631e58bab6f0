"""Messages about alerts: what is wrong, since when, what changed last, whether going back helps, and the command."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cakravia_verify.command_options import with_options
from cakravia_verify.monitor.alerts.machine import Topic
from cakravia_verify.monitor.alerts.model import Alert
from cakravia_verify.monitor.alerts.rules import Rule
from cakravia_verify.monitor.facts import LastChange, RollbackFacts
from cakravia_verify.monitor.notify.message import Message

ROLLBACK: Final = 'cakravia rollback --reason "..."'
_WORDS: Final = {Topic.FIRING: "FIRING", Topic.REMINDER: "STILL FIRING", Topic.RESOLVED: "resolved"}
# Alerts that going back to the version before may end.
_HELPED_BY_ROLLBACK: Final = frozenset({"site", "outside", "tls", "active-slot", "budget", "budget-slow", "restarts"})
_LONGEST_LINE: Final = 500


@dataclass(frozen=True)
class Told:
    """One alert in a message, with its rule."""

    alert: Alert
    rule: Rule


@dataclass(frozen=True)
class Surroundings:
    """What a message says beside its alerts. `also` holds alerts that are open and folded into those of the message."""

    site: str
    last_change: LastChange | None = None
    rollback: RollbackFacts | None = None
    also: tuple[Told, ...] = ()


def message_about(topic: Topic, told: Sequence[Told], around: Surroundings, *, at: float, number: str) -> Message:
    """Return one message about alerts of the same topic."""
    urgency = max((each.rule.policy.urgency for each in told), key=lambda each: each.rank)
    names = ", ".join(each.rule.name for each in told)
    first = told[0].rule.title
    more = f" (and {len(told) - 1} more)" if len(told) > 1 else ""
    return Message(
        id=number,
        site=around.site,
        at=at,
        topic=topic,
        urgency=urgency,
        title=f"[{around.site}] {_WORDS[topic]}: {first}{more}",
        text="\n".join(_one_line(line) for line in _lines(topic, told, around, at=at, names=names)),
    )


def _lines(topic: Topic, told: Sequence[Told], around: Surroundings, *, at: float, names: str) -> Iterator[str]:
    for each in told:
        yield from _about(topic, each, at=at)
    if topic is Topic.RESOLVED:
        return
    if around.also:
        yield f"Also: {'; '.join(f'{each.rule.name} ({each.alert.detail})' for each in around.also)}"
    began = min(each.alert.began_at for each in told)
    yield f"Last change: {_change(around.last_change, began)}"
    if any(each.rule.name in _HELPED_BY_ROLLBACK for each in told):
        yield f"Going back: {_going_back(around.rollback, at)}"
    for command in dict.fromkeys(each.rule.command for each in told if each.rule.command):
        yield with_options(f"Repair: {command}")
    yield with_options(f"Acknowledge: cakravia monitor alerts ack {names.split(', ')[0]}")


def _about(topic: Topic, told: Told, *, at: float) -> Iterator[str]:
    alert = told.alert
    if topic is Topic.RESOLVED:
        lasted = duration(max(0.0, alert.last_bad_at - alert.began_at))
        yield f"{told.rule.name}: good again; it lasted {lasted}, from {instant(alert.began_at)}"
        return
    yield f"{told.rule.name}: {told.rule.title}"
    if alert.detail:
        yield f"  {alert.detail}"
    yield f"  since {instant(alert.began_at)} ({duration(at - alert.began_at)} ago)"
    if alert.is_flapping:
        yield f"  it fired {len(alert.firings)} times in the last hours: it must stay good for longer to be resolved"


def _change(change: LastChange | None, began: float) -> str:
    if change is None:
        return "none on record"
    gap = began - change.at
    return f"{change.text} {duration(abs(gap))} {'before' if gap >= 0 else 'after it began'}"


def _going_back(rollback: RollbackFacts | None, at: float) -> str:
    if rollback is None:
        return "not known yet"
    seen = f" (seen {duration(at - rollback.at)} ago)" if at - rollback.at > 5 else ""
    if not rollback.is_possible:
        return f"not possible now: {rollback.detail}{seen}"
    took = (
        f"; users are back after about {rollback.users_back:.1f} s ({rollback.basis})"
        if rollback.users_back is not None
        else ""
    )
    return f"a rollback to {rollback.detail} would succeed{took}{seen}: {ROLLBACK}"


def instant(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def duration(seconds: float) -> str:
    """Return a duration in two units at most, as in "2 h 5 min"."""
    whole = int(seconds)
    if whole < 60:
        return f"{seconds:.0f} s"
    units = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))
    parts = []
    for size, name in units:
        count, whole = divmod(whole, size)
        if count:
            parts.append(f"{count} {name}")
    return " ".join(parts[:2])


def _one_line(text: str) -> str:
    """Return the text without control characters: details hold what applications answered."""
    clean = "".join(each if each.isprintable() else " " for each in text)
    return clean if len(clean) <= _LONGEST_LINE else f"{clean[: _LONGEST_LINE - 3]}..."
