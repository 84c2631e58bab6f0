"""Settings under which no release can pass. They are refused before anything starts."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import httpx

from cakravia_verify.errors import SettingsError, UsageError
from cakravia_verify.settings.headers import merged, with_files
from cakravia_verify.settings.models import Settings
from cakravia_verify.slots import Slot
from cakravia_verify.traffic.plan.mix import JOURNEY_ID, REQUEST_ID, MixEntry
from cakravia_verify.traffic.plan.plan import TrafficPlan

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
# A slow answer may be the first one of a cold page. The fastest of these counts.
ATTEMPTS: Final = 3
# Answers of a moment: too early, too many, no longer waited for.
MOMENTARY: Final = frozenset({408, 425, 429})
SLOW_SHARE: Final = 0.01
_IDENT = "preflight"


@dataclass(frozen=True)
class MixAnswer:
    """The answer of the active version to one kind of request. `status` is None without an answer in time."""

    entry: MixEntry
    status: int | None
    is_slow: bool


def require_enough_requests(settings: Settings, plan: TrafficPlan) -> None:
    """Raise SettingsError if the traffic of the whole bake is fewer requests than the gate needs, in all or of a kind.

    A locustfile makes requests that the plan does not know. Then nothing is refused.
    """
    weights = sum(entry.weight for entry in plan.mix)
    for_each = sum(entry.weight * (1 + len(entry.steps)) for entry in plan.mix) / weights
    planned, needed = settings.release.bake * plan.rate * for_each, settings.budget.min_requests
    if planned < needed and not plan.locustfile:
        raise SettingsError(
            f"[release] bake = {settings.release.bake:g} s at {plan.rate:g} requests/s makes {planned:,.0f} requests, "
            f"fewer than [budget] min_requests = {needed:,}: no release could be promoted",
            remedy="bake longer, raise the rate, or lower min_requests",
        )

    entries, least = len(plan.mix), settings.budget.min_each
    if settings.release.bake * plan.rate < entries * least:
        raise SettingsError(
            f"[release] bake = {settings.release.bake:g} s at {plan.rate:g} requests/s makes "
            f"{settings.release.bake * plan.rate:,.0f} requests for {entries} kinds of them, and each needs [budget] "
            f"min_each = {least:,} answers: no release could be promoted",
            remedy="bake longer, raise the rate, lower min_each, or have fewer kinds of requests in the mix",
        )


def require_known(names: Sequence[str], plan: TrafficPlan) -> None:
    """Raise UsageError if a name of `--accept-changes` is no request of the mix."""
    known = [each.name for entry in plan.mix for each in (entry, *entry.steps)]
    for name in names:
        if name not in known:
            raise UsageError(
                f"--accept-changes {name!r}: the mix has no request of this name",
                remedy=f"its names are: {', '.join(map(repr, dict.fromkeys(known)))}",
            )


def require_answers(settings: Settings, plan: TrafficPlan, active: Slot) -> None:
    """Ask for each safe request of the mix, and raise SettingsError if the active version shows that it cannot pass.

    Its address may be wrong, or the latency budget lower than what users have now. An answer that says nothing about
    the settings (5xx, none at all) refuses nothing: the release may mend it.
    """
    answers = list(_answers(plan, limit=settings.budget.p99))
    for answer in answers:
        _require_expected(answer, active)
    _require_latency(answers, plan, active, budget=settings.budget.p99)


def _answers(plan: TrafficPlan, *, limit: float) -> Iterator[MixAnswer]:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with httpx.Client(verify=context, trust_env=False, timeout=limit + 1) as client:
        for entry in plan.mix:
            if entry.method in SAFE_METHODS and not entry.stream and entry.body.kind == "none":
                yield _fastest(client, plan, entry, limit=limit)


def _fastest(client: httpx.Client, plan: TrafficPlan, entry: MixEntry, *, limit: float) -> MixAnswer:
    """Return the first answer within the limit, else the last one."""
    answer = _ask(client, plan, entry, limit=limit)
    for _ in range(ATTEMPTS - 1):
        if not answer.is_slow:
            break
        answer = _ask(client, plan, entry, limit=limit)
    return answer


def _ask(client: httpx.Client, plan: TrafficPlan, entry: MixEntry, *, limit: float) -> MixAnswer:
    headers = merged({"Host": plan.host} if plan.host else {}, plan.headers, entry.headers)
    sent = {name: _filled(with_files(value)) for name, value in headers.items()}
    server_name = plan.host.partition(":")[0]
    began = time.monotonic()
    try:
        with client.stream(
            entry.method,
            plan.url + _filled(entry.path),
            headers={"Accept": "*/*", "User-Agent": "cakravia-verify", **sent},
            extensions={"sni_hostname": server_name} if server_name else {},
        ) as response:
            for _ in response.iter_raw():
                if time.monotonic() - began > limit:
                    break
            is_slow = time.monotonic() - began + plan.round_trip > limit
            return MixAnswer(entry, response.status_code, is_slow)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return MixAnswer(entry, None, is_slow=isinstance(error, httpx.ReadTimeout))


def _filled(text: str) -> str:
    return text.replace(REQUEST_ID, _IDENT).replace(JOURNEY_ID, _IDENT)


def _require_expected(answer: MixAnswer, active: Slot) -> None:
    entry, status = answer.entry, answer.status
    if status is None or not 300 <= status < 500 or status in entry.successes or status in MOMENTARY:
        return
    expected = ", ".join(map(str, sorted(entry.successes)))
    raise SettingsError(
        f"[traffic] {entry.name}: {entry.method} {entry.path} answers {status} on {active}, which users are on; "
        f"expected {expected}",
        remedy="correct its path, its method or its headers, or name this status in `expect`. The default mix is for "
        'the reference application: another one needs profile = "generic" or "custom"',
    )


def _require_latency(answers: list[MixAnswer], plan: TrafficPlan, active: Slot, *, budget: float) -> None:
    """Raise SettingsError if more than one request in a hundred takes longer than the 99th percentile may be."""
    requests = sum(entry.weight * (1 + len(entry.steps)) for entry in plan.mix if not entry.stream)
    slow = [answer.entry for answer in answers if answer.is_slow]
    share = sum(entry.weight for entry in slow) / requests if slow else 0.0
    if share > SLOW_SHARE:
        raise SettingsError(
            f"[budget] p99 = {budget:g} s cannot be held: {slow[0].method} {slow[0].path} takes longer on {active} "
            f"now, and such requests are {share:.0%} of the mix",
            remedy="raise p99, or leave slow requests out of the mix",
        )
