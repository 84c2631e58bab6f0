"""From facts to readings: one rule per alert. Pure functions; what is planned is undecided, never bad."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from cakravia_verify.monitor.alerts.burn import FAST, SLOW, BurnRate, in_words, is_burning
from cakravia_verify.monitor.alerts.model import Policy, Reading, Verdict
from cakravia_verify.monitor.facts import (
    CertificateFacts,
    DriftFacts,
    HostFacts,
    PlatformFacts,
    ReleaseFacts,
    Round,
    SlotFacts,
    Target,
    TrafficFacts,
    VantageFacts,
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
class View:
    """The newest facts of every source, None for a source that reported nothing.

    `silent` maps a source that should have reported to the instant of its last report. `settled_at` is the end of the
    last planned change and its after-effects.
    """

    now: float
    rounds: Mapping[Target, Round] = field(default_factory=dict)
    release: ReleaseFacts | None = None
    platform: PlatformFacts | None = None
    host: HostFacts | None = None
    certificate: CertificateFacts | None = None
    drift: DriftFacts | None = None
    vantage: VantageFacts | None = None
    traffic: TrafficFacts | None = None
    silent: Mapping[str, float] = field(default_factory=dict)
    settled_at: float = 0.0
    restarted: Mapping[Colour, float] = field(default_factory=dict)
    trouble: str = ""

    @property
    def is_busy(self) -> bool:
        """Whether a release or another command changes the site, or did so a moment ago."""
        return (self.release is not None and self.release.is_busy) or self.now < self.settled_at

    @property
    def is_planned_downtime(self) -> bool:
        return self.release is not None and self.release.is_planned_downtime

    @property
    def active(self) -> Colour | None:
        """The slot that users get: by their own answers, else by the history."""
        users = self.rounds.get(Target.USERS)
        if users is not None and users.served_slot is not None:
            return users.served_slot
        return self.release.active if self.release else None


@dataclass(frozen=True)
class Rule:
    """One alert: its name, what it says when it fires, who reports for it, and when it is folded into another one.

    `read` returns None when the alert does not apply to this site. `source` names the source whose silence leaves the
    alert without data.
    """

    name: str
    title: str
    source: str
    read: Callable[[View], Reading | None]
    policy: Policy
    folds_into: tuple[str, ...] = ()
    command: str = ""


def _of_round(
    view: View, target: Target, source_round: Round | None, *, is_planned: bool, says: str = ""
) -> Reading | None:
    if source_round is None:
        return None
    if is_planned:
        return Reading(Verdict.UNDECIDED, source_round.at)
    if source_round.is_good:
        return Reading(Verdict.GOOD, source_round.at)
    return Reading(Verdict.BAD, source_round.at, says or f"{target}: {source_round.problems()}")


def users(view: View) -> Reading | None:
    """Bad when an endpoint gives no good answer through the proxy. A release is no excuse; `cakravia down` is."""
    return _of_round(view, Target.USERS, view.rounds.get(Target.USERS), is_planned=view.is_planned_downtime)


def tls(view: View) -> Reading | None:
    return _of_round(view, Target.TLS, view.rounds.get(Target.TLS), is_planned=view.is_planned_downtime)


def outside(view: View) -> Reading | None:
    """The site from outside. While this machine is offline, that says nothing about the site."""
    seen = view.rounds.get(Target.OUTSIDE)
    if seen is not None and view.vantage is not None and not view.vantage.is_online:
        return Reading(Verdict.MISSING, seen.at, "this machine is offline")
    return _of_round(view, Target.OUTSIDE, seen, is_planned=view.is_planned_downtime)


def active_slot(view: View) -> Reading | None:
    active = view.active
    if active is None:
        return None
    seen = view.rounds.get(Target(active))
    planned = view.is_busy or view.is_planned_downtime
    says = "" if seen is None or seen.is_there else f"{active}: nothing runs there"
    return _of_round(view, Target(active), seen, is_planned=planned, says=says)


def idle_slot(view: View) -> Reading | None:
    """Replacing the idle slot never fires: while a command holds the site, nothing is decided about it."""
    active, release = view.active, view.release
    if active is None or release is None:
        return None
    idle = active.other
    seen = view.rounds.get(Target(idle))
    if seen is None or (not seen.is_there and not release.has_previous):
        return None
    says = "" if seen.is_there else f"{idle}: nothing runs there, so a rollback has to start it first"
    planned = view.is_busy or view.is_planned_downtime
    return _of_round(view, Target(idle), seen, is_planned=planned, says=says)


def proxy(view: View) -> Reading | None:
    platform = view.platform
    if platform is None:
        return None
    if view.is_planned_downtime:
        return Reading(Verdict.UNDECIDED, platform.at)
    if platform.is_proxy_running:
        return Reading(Verdict.GOOD, platform.at)
    return Reading(Verdict.BAD, platform.at, "nginx does not run")


def restarts(view: View) -> Reading | None:
    platform = view.platform
    if platform is None:
        return None
    if view.is_busy or view.is_planned_downtime:
        return Reading(Verdict.UNDECIDED, platform.at)
    recent = [colour for colour, at in view.restarted.items() if platform.at - at < RESTART_SECONDS]
    if not recent:
        return Reading(Verdict.GOOD, platform.at)
    return Reading(Verdict.BAD, platform.at, "; ".join(_restart_in_words(platform.slot(each), each) for each in recent))


def _restart_in_words(slot: SlotFacts | None, colour: Colour) -> str:
    if slot is None:
        return f"{colour} restarted"
    why = ", it ran out of memory" if slot.is_out_of_memory else ""
    count = f" ({slot.restarts} restarts by the engine)" if slot.restarts else ""
    return f"{colour} ({slot.version}) restarted without a release{why}{count}"


def memory(view: View, limit: float) -> Reading | None:
    platform = view.platform
    if platform is None:
        return None
    shares = {
        str(slot.colour): slot.memory / slot.memory_limit
        for slot in platform.slots
        if slot.is_running and slot.memory is not None and slot.memory_limit
    }
    return _above(shares, limit, platform.at, "of the memory limit is used by") if shares else None


def disk(view: View, limit: float) -> Reading | None:
    return _above(view.host.disks, limit, view.host.at, "of the disk is used at") if view.host else None


def _above(shares: Mapping[str, float], limit: float, at: float, what: str) -> Reading:
    """Compare the highest share with a limit. Between the limit and a little below it nothing is decided."""
    name, share = max(shares.items(), key=lambda pair: pair[1])
    if share >= limit:
        return Reading(Verdict.BAD, at, f"{share:.0%} {what} {name}; the limit is {limit:.0%}")
    if share >= limit * (1 - HYSTERESIS):
        return Reading(Verdict.UNDECIDED, at)
    return Reading(Verdict.GOOD, at)


def certificate(view: View, days: float) -> Reading | None:
    facts = view.certificate
    if facts is None:
        return None
    left = (facts.ends_at - facts.at) / DAY
    if left >= days:
        return Reading(Verdict.GOOD, facts.at)
    ends = f"ends in {left:.1f} days" if left > 0 else f"ended {-left:.1f} days ago"
    return Reading(Verdict.BAD, facts.at, f"the certificate {ends}")


def drift(view: View) -> Reading | None:
    facts = view.drift
    if facts is None:
        return None
    if view.is_busy or view.is_planned_downtime:
        return Reading(Verdict.UNDECIDED, facts.at)
    return Reading(Verdict.BAD, facts.at, "; ".join(facts.drift)) if facts.drift else Reading(Verdict.GOOD, facts.at)


def unfinished_release(view: View) -> Reading | None:
    facts = view.release
    if facts is None:
        return None
    if facts.is_busy:
        return Reading(Verdict.UNDECIDED, facts.at)
    return Reading(Verdict.BAD, facts.at, facts.left) if facts.left else Reading(Verdict.GOOD, facts.at)


def budget(view: View, rate: BurnRate, objective: float) -> Reading | None:
    facts = view.traffic
    if facts is None:
        return None
    if is_burning(facts.windows, rate, objective=objective):
        return Reading(Verdict.BAD, facts.at, in_words(facts.windows, rate, objective=objective))
    return Reading(Verdict.GOOD, facts.at)


def offline(view: View) -> Reading | None:
    facts = view.vantage
    if facts is None:
        return None
    return Reading(Verdict.GOOD if facts.is_online else Verdict.BAD, facts.at, "" if facts.is_online else facts.detail)


def no_data(view: View) -> Reading | None:
    """Bad while a source that should report does not: its alerts have no data, which is no good news."""
    if not view.silent:
        return Reading(Verdict.GOOD, view.now)
    names = ", ".join(sorted(view.silent))
    return Reading(Verdict.BAD, view.now, f"nothing is known from: {names}")


def own_health(view: View) -> Reading | None:
    return Reading(Verdict.BAD if view.trouble else Verdict.GOOD, view.now, view.trouble)


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
    yield Rule("offline", "this machine is offline", "vantage", offline, warning)
    yield Rule("no-data", "the monitor is blind in part", "", no_data, own)
    yield Rule("monitor", "the monitor itself is in trouble", "", own_health, own)
