"""From facts to readings: one rule per alert. Pure functions; what is planned is undecided, never bad."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from cakravia_verify.monitor.alerts.burn import FAST, SLOW, BurnRate, in_words, is_burning
from cakravia_verify.monitor.alerts.model import AlertReading, Judgement, Policy
from cakravia_verify.monitor.alerts.view import View
from cakravia_verify.monitor.facts import (
    ProbeTarget,
    Round,
    SlotFacts,
)
from cakravia_verify.monitor.notify.message import Urgency
from cakravia_verify.settings.monitor import MonitorSettings
from cakravia_verify.slots import Colour

DAY: Final = 86_400.0
# What a value must fall below its limit by, as a share of the limit, to be good again.
HYSTERESIS: Final = 0.05
# A restart stays bad this long: an application that restarts every few minutes is one episode.
RESTART_SECONDS: Final = 600.0
LAST_DAYS: Final = 2.0


@dataclass(frozen=True)
class Rule:
    """One alert: its name, what it says when it fires, who reports for it, and when it is folded into another one.

    `read` returns None when the alert does not apply to this site. `source` names the source whose silence leaves the
    alert without data.
    """

    name: str
    title: str
    source: str
    read: Callable[[View], AlertReading | None]
    policy: Policy
    folds_into: tuple[str, ...] = ()
    command: str = ""


def _of_round(
    view: View, target: ProbeTarget, source_round: Round | None, *, is_planned: bool, says: str = ""
) -> AlertReading | None:
    if source_round is None:
        return None
    if is_planned:
        return AlertReading(Judgement.UNDECIDED, source_round.at)
    if source_round.is_good:
        return AlertReading(Judgement.GOOD, source_round.at)
    return AlertReading(Judgement.BAD, source_round.at, says or f"{target}: {source_round.problems()}")


def users(view: View) -> AlertReading | None:
    """Bad when an endpoint gives no good answer through the proxy. A release is no excuse; `cakravia down` is."""
    return _of_round(view, ProbeTarget.USERS, view.rounds.get(ProbeTarget.USERS), is_planned=view.are_users_away)


def tls(view: View) -> AlertReading | None:
    return _of_round(view, ProbeTarget.TLS, view.rounds.get(ProbeTarget.TLS), is_planned=view.are_users_away)


def outside(view: View) -> AlertReading | None:
    """The site from outside. While this machine is offline, that says nothing about the site."""
    seen = view.rounds.get(ProbeTarget.OUTSIDE)
    if seen is not None and view.vantage is not None and not view.vantage.is_online:
        return AlertReading(Judgement.MISSING, seen.at, "this machine is offline")
    return _of_round(view, ProbeTarget.OUTSIDE, seen, is_planned=view.are_users_away)


def active_slot(view: View) -> AlertReading | None:
    """The slot that should have the users. That failover serves them from the other one hides no dead slot."""
    active = view.intended or view.active
    if active is None:
        return None
    seen = view.rounds.get(ProbeTarget(active))
    planned = view.is_busy or view.are_users_away
    says = "" if seen is None or seen.is_there else f"{active}: nothing runs there"
    return _of_round(view, ProbeTarget(active), seen, is_planned=planned, says=says)


def idle_slot(view: View) -> AlertReading | None:
    """Replacing the idle slot never fires: while a command holds the site, nothing is decided about it."""
    active, release = view.active, view.release
    if active is None or release is None:
        return None
    idle = active.other
    seen = view.rounds.get(ProbeTarget(idle))
    if seen is None or (not seen.is_there and not release.has_previous):
        return None
    says = "" if seen.is_there else f"{idle}: nothing runs there, so a rollback has to start it first"
    planned = view.is_busy or view.are_users_away
    return _of_round(view, ProbeTarget(idle), seen, is_planned=planned, says=says)


def proxy(view: View) -> AlertReading | None:
    platform = view.platform
    if platform is None:
        return None
    if view.is_planned_downtime:
        return AlertReading(Judgement.UNDECIDED, platform.at)
    if platform.is_proxy_running:
        return AlertReading(Judgement.GOOD, platform.at)
    return AlertReading(Judgement.BAD, platform.at, "nginx does not run")


def restarts(view: View) -> AlertReading | None:
    platform = view.platform
    if platform is None:
        return None
    if view.is_busy or view.are_users_away:
        return AlertReading(Judgement.UNDECIDED, platform.at)
    recent = [colour for colour, at in view.restarted.items() if platform.at - at < RESTART_SECONDS]
    supervised = view.release.supervised if view.release else None
    if supervised is not None and platform.at - supervised.at < RESTART_SECONDS:
        return AlertReading(Judgement.BAD, platform.at, f"the supervisor started it again: {supervised.text}")
    if not recent:
        return AlertReading(Judgement.GOOD, platform.at)
    return AlertReading(
        Judgement.BAD, platform.at, "; ".join(_restart_in_words(platform.slot(each), each) for each in recent)
    )


def _restart_in_words(slot: SlotFacts | None, colour: Colour) -> str:
    if slot is None:
        return f"{colour} restarted"
    why = ", it ran out of memory" if slot.is_out_of_memory else ""
    count = f" ({slot.restarts} restarts by the engine)" if slot.restarts else ""
    return f"{colour} ({slot.version}) restarted without a release{why}{count}"


def memory(view: View, limit: float) -> AlertReading | None:
    platform = view.platform
    if platform is None:
        return None
    shares = {
        str(slot.colour): slot.memory / slot.memory_limit
        for slot in platform.slots
        if slot.is_running and slot.memory is not None and slot.memory_limit
    }
    return _above(shares, limit, platform.at, "of the memory limit is used by") if shares else None


def disk(view: View, limit: float) -> AlertReading | None:
    return _above(view.host.disks, limit, view.host.at, "of the disk is used at") if view.host else None


def _above(shares: Mapping[str, float], limit: float, at: float, what: str) -> AlertReading:
    """Compare the highest share with a limit. Between the limit and a little below it nothing is decided."""
    name, share = max(shares.items(), key=lambda pair: pair[1])
    if share >= limit:
        return AlertReading(Judgement.BAD, at, f"{share:.0%} {what} {name}; the limit is {limit:.0%}")
    if share >= limit * (1 - HYSTERESIS):
        return AlertReading(Judgement.UNDECIDED, at)
    return AlertReading(Judgement.GOOD, at)


def certificate(view: View, days: float) -> AlertReading | None:
    facts = view.certificate
    if facts is None:
        return None
    left = (facts.ends_at - facts.at) / DAY
    if left >= days:
        return AlertReading(Judgement.GOOD, facts.at)
    ends = f"ends in {left:.1f} days" if left > 0 else f"ended {-left:.1f} days ago"
    return AlertReading(Judgement.BAD, facts.at, f"the certificate {ends}")


def drift(view: View) -> AlertReading | None:
    facts = view.drift
    if facts is None:
        return None
    if view.is_busy or view.are_users_away:
        return AlertReading(Judgement.UNDECIDED, facts.at)
    return (
        AlertReading(Judgement.BAD, facts.at, "; ".join(facts.drift))
        if facts.drift
        else AlertReading(Judgement.GOOD, facts.at)
    )


def unfinished_release(view: View) -> AlertReading | None:
    facts = view.release
    if facts is None:
        return None
    if facts.is_busy:
        return AlertReading(Judgement.UNDECIDED, facts.at)
    return AlertReading(Judgement.BAD, facts.at, facts.left) if facts.left else AlertReading(Judgement.GOOD, facts.at)


def maintenance(view: View) -> AlertReading | None:
    """Bad while users are sent away on purpose: a warning that reminds, and its end is told."""
    if view.release is None:
        return None
    lasting = view.maintenance
    if lasting is None:
        return AlertReading(Judgement.GOOD, view.now)
    return AlertReading(Judgement.BAD, view.now, f"users get 503 on purpose; begun by {lasting.who}")


def budget(view: View, rate: BurnRate, objective: float) -> AlertReading | None:
    facts = view.traffic
    if facts is None:
        return None
    if view.maintenance is not None:
        return AlertReading(Judgement.UNDECIDED, facts.at)
    if is_burning(facts.windows, rate, objective=objective):
        return AlertReading(Judgement.BAD, facts.at, in_words(facts.windows, rate, objective=objective))
    return AlertReading(Judgement.GOOD, facts.at)


def offline(view: View) -> AlertReading | None:
    facts = view.vantage
    if facts is None:
        return None
    return AlertReading(
        Judgement.GOOD if facts.is_online else Judgement.BAD, facts.at, "" if facts.is_online else facts.detail
    )


def no_data(view: View) -> AlertReading | None:
    """Bad while a source that should report does not: its alerts have no data, which is no good news."""
    if not view.silent:
        return AlertReading(Judgement.GOOD, view.now)
    names = ", ".join(sorted(view.silent))
    return AlertReading(Judgement.BAD, view.now, f"nothing is known from: {names}")


def own_health(view: View) -> AlertReading | None:
    return AlertReading(Judgement.BAD if view.trouble else Judgement.GOOD, view.now, view.trouble)


def rules_for(settings: MonitorSettings) -> tuple[Rule, ...]:
    """Return every rule, the most urgent first."""
    page = Policy(urgency=Urgency.PAGE, down=settings.down, up=settings.up, remind=settings.remind)
    warning = replace(page, urgency=Urgency.WARNING)
    # Read many times a second: what lasts is told, not a moment.
    own = replace(warning, down=20, up=20, window=40)
    rare = replace(warning, up=2)
    down, slot = ("site",), ("site", "active-slot")
    return tuple(_rules(settings, page=page, warning=warning, rare=rare, own=own, down=down, slot=slot))


def _rules(
    settings: MonitorSettings,
    *,
    page: Policy,
    warning: Policy,
    rare: Policy,
    own: Policy,
    down: tuple[str, ...],
    slot: tuple[str, ...],
) -> Iterator[Rule]:
    recover = "cakravia recover"
    yield Rule("site", "users get no good answer", "users", users, page, command=recover)
    yield Rule("outside", "the site gives no good answer from outside", "outside", outside, page, down)
    yield Rule("tls", "users get no good answer by TLS", "tls", tls, page, down, recover)
    yield Rule("proxy", "nginx does not run", "platform", proxy, page, down, recover)
    yield Rule("active-slot", "the active slot is not healthy", "users", active_slot, page, down, recover)
    yield Rule("release", "a release died half-way", "release", unfinished_release, page, command=recover)
    yield Rule(
        "budget",
        "requests of users fail fast enough to use up the error budget in two days",
        "traffic",
        lambda view: budget(view, FAST, settings.objective),
        replace(page, down=1, up=2),
        down,
    )
    yield Rule(
        "certificate-ends",
        "the certificate is about to end",
        "certificate",
        lambda view: certificate(view, min(LAST_DAYS, settings.certificate_days)),
        replace(rare, urgency=Urgency.PAGE),
    )
    yield Rule(
        "certificate",
        "the certificate ends soon",
        "certificate",
        lambda view: certificate(view, settings.certificate_days),
        rare,
        ("certificate-ends",),
    )
    yield Rule("idle-slot", "the idle slot is not healthy", "users", idle_slot, replace(warning, down=5), slot, recover)
    yield Rule("restarts", "a slot restarted without a release", "platform", restarts, replace(rare, down=1), slot)
    yield Rule("memory", "a slot is close to its memory limit", "platform", lambda v: memory(v, settings.memory), rare)
    yield Rule("disk", "a disk is nearly full", "host", lambda view: disk(view, settings.disk), rare)
    yield Rule("drift", "parts of the site disagree", "drift", drift, rare, slot, "cakravia status")
    yield Rule(
        "budget-slow",
        "requests of users fail fast enough to use up the error budget in five days",
        "traffic",
        lambda view: budget(view, SLOW, settings.objective),
        replace(rare, down=1),
        ("site", "budget"),
    )
    yield Rule(
        "maintenance",
        "users are sent away on purpose",
        "release",
        maintenance,
        # Each begin and each end is told at once, also of the third maintenance of a day.
        replace(warning, down=1, up=1, quiet=(0.0,)),
        command="cakravia maintenance off",
    )
    yield Rule("offline", "this machine is offline", "vantage", offline, warning)
    yield Rule("no-data", "the monitor is blind in part", "", no_data, own)
    yield Rule("monitor", "the monitor itself is in trouble", "", own_health, own)
