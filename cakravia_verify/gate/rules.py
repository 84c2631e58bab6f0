"""The rule that makes a verdict from evidence. It is pure and fails closed: what was not shown does not count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from cakravia_verify.gate.model import Budget, Check, CheckStatus, Decision, Evidence, Measured, Verdict


def judge(evidence: Evidence, budget: Budget) -> Verdict:
    """Return the verdict.

    PROMOTE needs every check passed. One failed check makes ROLL BACK; otherwise an unknown one makes INCONCLUSIVE.
    """
    checks = tuple(_checks(evidence, budget))
    failed = [check for check in checks if check.standing is CheckStatus.FAILED]
    unknown = [check for check in checks if check.standing is CheckStatus.UNKNOWN]
    if evidence.interrupted:
        return Verdict(Decision.INCONCLUSIVE, f"interrupted: {evidence.interrupted}", checks)
    if failed:
        return Verdict(Decision.ROLL_BACK, in_words(failed), checks)
    if unknown or not checks:
        return Verdict(Decision.INCONCLUSIVE, in_words(unknown) or "nothing was checked", checks)
    return Verdict(Decision.PROMOTE, f"all {len(checks)} checks passed", checks)


def is_candidate_well(evidence: Evidence) -> bool:
    """Return True if every step was done without an interruption and every check of the candidate itself passed.

    Traffic and the suite are left out. A rollback keeps users on such a target: going forward again takes proof.
    """
    checks = _release_checks(evidence)
    return not evidence.interrupted and all(check.standing is CheckStatus.PASSED for check in checks)


def _checks(evidence: Evidence, budget: Budget) -> Sequence[Check]:
    return [
        *_release_checks(evidence),
        *suite_checks(evidence.required),
        *traffic_checks(evidence.measured or Measured(), budget, has_previous=evidence.has_previous),
    ]


def _release_checks(evidence: Evidence) -> Sequence[Check]:
    baked = evidence.bake_seconds
    return [
        Check(
            "steps",
            "Steps of the release",
            CheckStatus.FAILED
            if evidence.failure
            else CheckStatus.PASSED
            if evidence.bake_rounds
            else CheckStatus.UNKNOWN,
            evidence.failure or ("all were done" if evidence.bake_rounds else "not every step was reached"),
            "no failure",
        ),
        _identity_check(evidence),
        _at_least(
            "health", "Good health readings of the candidate", evidence.health_rounds, evidence.health_rounds_needed
        ),
        _at_least("smoke", "Smoke requests answered by the candidate", evidence.smoke_passed, evidence.smoke_planned),
        _at_least(
            "confirm",
            "Answers through the proxy that name the candidate",
            evidence.confirmations,
            evidence.confirmations_needed,
        ),
        _serving_check(evidence),
        Check(
            "bake",
            "The candidate stayed healthy under traffic for the whole bake",
            CheckStatus.UNKNOWN
            if baked is None or not evidence.bake_rounds
            else _passed_if(baked >= evidence.bake_seconds_planned and _is_mostly_good(evidence)),
            "not reached"
            if baked is None
            else f"{baked:.1f} s, {evidence.bake_bad_rounds} of {evidence.bake_rounds} rounds bad",
            f"{evidence.bake_seconds_planned:g} s",
        ),
        *(
            Check(f"objection {number}", "An operator's own gate", CheckStatus.FAILED, text, "no objection")
            for number, text in enumerate(evidence.objections, start=1)
        ),
    ]


def _identity_check(evidence: Evidence) -> Check:
    """Compare the digest of what was built with the digest of what runs. What was not read is unknown."""
    built, running = evidence.built_digest, evidence.running_digest
    status = CheckStatus.UNKNOWN
    if built and running:
        status = _passed_if(built == running)
    if evidence.is_candidate_gone:
        status = CheckStatus.FAILED
    value = "the candidate's process is gone" if evidence.is_candidate_gone else running[:19] or "not read"
    return Check("identity", "The candidate runs exactly what was built", status, value, built[:19] or "not built")


def _serving_check(evidence: Evidence) -> Check:
    """Compare slot, version and digest of what serves users with those of the candidate."""
    candidate = (evidence.candidate_slot, evidence.version, evidence.built_digest)
    serving = (evidence.serving_slot, evidence.serving_version, evidence.serving_digest)
    pairs = list(zip(serving, candidate, strict=True))
    status = CheckStatus.UNKNOWN
    if evidence.serving_problem or any(one and other and one != other for one, other in pairs):
        status = CheckStatus.FAILED
    elif all(one and one == other for one, other in pairs):
        status = CheckStatus.PASSED
    return Check(
        "serving",
        "The candidate serves users at the end",
        status,
        evidence.serving_problem or _named(*serving) or "not read",
        _named(*candidate) or "not staged",
    )


def _named(slot: str, version: str, digest: str) -> str:
    return ", ".join(filter(None, (slot, version, digest[:19])))


def suite_checks(required: Mapping[str, str]) -> Sequence[Check]:
    """Return one gate check per required check of the suite. Only the outcome `passed` passes."""
    if not required:
        return [
            Check("suite", "The suite's gate checks", CheckStatus.UNKNOWN, "no check was collected", "at least one")
        ]
    statuses = {"passed": CheckStatus.PASSED, "failed": CheckStatus.FAILED, "error": CheckStatus.FAILED}
    return [
        Check(f"test {name}", name, statuses.get(outcome, CheckStatus.UNKNOWN), outcome, "passed")
        for name, outcome in required.items()
    ]


def traffic_checks(measured: Measured, budget: Budget, *, has_previous: bool) -> Sequence[Check]:
    """Return the checks that the traffic decides."""
    held = measured.share_held
    checks = [
        Check(
            "samples",
            "Enough requests were sent",
            CheckStatus.PASSED if (measured.sent or 0) >= budget.min_requests else CheckStatus.UNKNOWN,
            _count(measured.sent),
            f">= {budget.min_requests:,}",
        ),
        Check(
            "schedule",
            "The planned load was sent",
            CheckStatus.PASSED if held is not None and held >= budget.min_rate_held else CheckStatus.UNKNOWN,
            "not measured" if held is None else f"{held:.2%} of plan",
            f">= {budget.min_rate_held:.0%}",
        ),
        Check(
            "ledger",
            "Every request is accounted for",
            CheckStatus.UNKNOWN
            if measured.sent is None or measured.integrity is None or measured.integrity
            else CheckStatus.PASSED,
            "no ledger"
            if measured.sent is None or measured.integrity is None
            else "; ".join(measured.integrity[:3]) or "complete",
            "complete",
        ),
        _counted("lost", "Lost requests", measured, budget.lost, note=measured.lost_bound),
        _counted("unreached", "Requests that could not be sent", measured, budget.lost),
        _at_most("duplicated", "Requests executed more than once", measured.duplicated, budget.duplicated),
        _at_most("fence", "Answers by the old slot to requests sent after the switch", measured.fence_violations, 0),
        _counted("masked", "Requests that another slot answered instead of the candidate", measured, 0),
        _errors_check(measured, budget, has_previous=has_previous),
        Check(
            "latency",
            "99th percentile of latency, from the planned send time",
            CheckStatus.UNKNOWN if measured.p99 is None or measured.p99 < 0 else _passed_if(measured.p99 <= budget.p99),
            "not measured" if measured.p99 is None else f"{measured.p99 * 1000:,.0f} ms",
            f"<= {budget.p99 * 1000:,.0f} ms",
        ),
        Check(
            "users",
            "Users were answered by the candidate after the switch",
            # Most of the traffic may have gone to the version before; the candidate needs a share of its own.
            CheckStatus.PASSED if (measured.candidate_answers or 0) >= _candidate_part(budget) else CheckStatus.UNKNOWN,
            _count(measured.candidate_answers),
            f">= {_candidate_part(budget):,}",
        ),
        *_coverage_checks(measured, budget),
    ]
    if not has_previous:
        return [check for check in checks if check.name != "fence"]
    return [
        *checks,
        *_page_checks(measured, budget),
        *_content_checks(measured, budget),
        *_growth_checks(measured, budget),
        *_session_checks(measured, budget),
        *_judgement_checks(measured, budget),
    ]


def _coverage_checks(measured: Measured, budget: Budget) -> Sequence[Check]:
    """Check that the candidate answered each kind of request of the mix. There is no check if none is required."""
    each = measured.answers_each
    if not budget.min_each:
        return []
    status, value = CheckStatus.UNKNOWN, "not measured"
    if each:
        few = {name: count for name, count in each.items() if count < budget.min_each}
        status = CheckStatus.UNKNOWN if few else CheckStatus.PASSED
        value = ", ".join(f"{name}: {count:,}" for name, count in list(few.items())[:4])
        value += f", and {len(few) - 4:,} more" if len(few) > 4 else ""
        value = (
            f"not covered: {value}"
            if few
            else f"{sum(each.values()):,} of {len(each):,} kinds, at least {min(each.values()):,} each"
        )
    title = "The candidate answered every kind of request after the switch"
    return [Check("coverage", title, status, value, f">= {budget.min_each:,} each")]


def _errors_check(measured: Measured, budget: Budget, *, has_previous: bool) -> Check:
    """Check the larger of two shares of errors: of all requests, and of those since the switch.

    The version before answered the first part of the run. Its good answers would hide errors of the candidate.
    """
    errors, whole = _against_candidate(measured, "errors"), (measured.sent or 0)
    after, since = measured.errors_after_switch, measured.sent_after_switch
    parts = [(errors, whole, "")]
    # A first release has no traffic before its switch, and a load no switch at all.
    if has_previous or since is not None:
        parts.append((after, since or 0, " since the switch"))
    shares = [None if count is None or count < 0 or total <= 0 else count / total for count, total, _ in parts]
    known = [share for share in shares if share is not None]
    status = CheckStatus.UNKNOWN
    if len(known) == len(shares) or any(share > budget.errors for share in known):
        status = _passed_if(max(known) <= budget.errors)
    texts = [
        f"not measured{where}" if share is None else f"{count:,} ({share:.3%}){where}"
        for (count, _, where), share in zip(parts, shares, strict=True)
    ]
    value = ", ".join(texts) + _excused_note(measured, "errors") if known else "not measured"
    return Check("errors", "Error answers", status, value, f"<= {budget.errors:.3%}")


def _page_checks(measured: Measured, budget: Budget) -> Sequence[Check]:
    """Fail a switch that breaks pages which are open. There is no check if the mix has no page."""
    if not measured.open_pages and not measured.broken_pages:
        return []
    broken, pages = measured.broken_pages, measured.open_pages
    check = _at_most("open pages", "Open pages broken", broken, budget.broken_pages)
    return [check if broken is None or pages is None else replace(check, value=f"{broken:,} of {pages:,}")]


def _content_checks(measured: Measured, budget: Budget) -> Sequence[Check]:
    """Fail a candidate whose answers changed too much. There is no check if nothing was compared."""
    changes, compared = measured.content_changes, measured.content_compared
    if budget.content != "require" or (not compared and not changes):
        return []
    value = "; ".join(f"{name}: {change}" for name, change in list(changes.items())[:3])
    value += f"; and {len(changes) - 3:,} more" if len(changes) > 3 else ""
    return [
        Check(
            "content",
            "Answers are like those of the version before",
            _passed_if(not changes),
            value or f"{compared:,} kinds of requests compared",
            "no large change that was not accepted",
        )
    ]


def _growth_checks(measured: Measured, budget: Budget) -> Sequence[Check]:
    """Fail a candidate that grows, if that is required. Otherwise there is a check only if it grows."""
    is_required = budget.growth == "require"
    if measured.growth is None and is_required:
        status = CheckStatus.UNKNOWN
    elif measured.growth or is_required:
        status = _passed_if(not (measured.growth and is_required))
    else:
        return []
    value = "; ".join(measured.growth or ()) or ("not measured" if measured.growth is None else "no growth seen")
    return [Check("growth", "The candidate does not grow through the bake", status, value, "no growth")]


def _session_checks(measured: Measured, budget: Budget) -> Sequence[Check]:
    """Fail a candidate that logs users out: of the sessions opened before the switch, a larger share fails after it.

    There is no check if no session was used across the switch.
    """
    old, old_failed = measured.old_sessions, measured.old_sessions_failed
    new, new_failed = measured.new_sessions, measured.new_sessions_failed
    if not old:
        return []
    status, value = CheckStatus.UNKNOWN, "not measured"
    if old_failed is not None and new is not None and new_failed is not None:
        value = f"of {new:,} opened after it {new_failed:,} failed; of {old:,} opened before it {old_failed:,}"
        if min(old, old_failed, new, new_failed) >= 0:
            usual = new_failed / new if new else 0.0
            status = _passed_if(old_failed / old - usual <= budget.errors)
    title = "Sessions opened before the switch last after it"
    return [Check("sessions", title, status, value, "no larger share than of new sessions")]


def _judgement_checks(measured: Measured, budget: Budget) -> Sequence[Check]:
    """Fail a candidate that is proven grossly worse than the slot before, or not proven as good if that is required."""
    is_required = budget.judge != "inform"
    if measured.judgement == "" or (measured.judgement is None and not is_required):
        return []
    statuses = {"PASS": CheckStatus.PASSED, "FAIL": CheckStatus.FAILED}
    if not is_required:
        statuses["INCONCLUSIVE"] = CheckStatus.PASSED
    decides = measured.judgement if is_required else measured.judgement_gross
    return [
        Check(
            "judgement",
            "The candidate is no worse than the previous slot on the same traffic",
            statuses.get(decides or "", CheckStatus.UNKNOWN),
            f"{_comparison_result(measured)}: {measured.judgement_why}" if measured.judgement else "not measured",
            "PASS" if is_required else "not grossly worse",
        )
    ]


def _candidate_part(budget: Budget) -> int:
    """Return how many of the required requests the candidate itself must have answered."""
    return max(1, budget.min_requests // 2)


def _comparison_result(measured: Measured) -> str:
    """Return the answer to the narrow question, or to the wide one if only that has an answer or it says worse."""
    if measured.judgement_gross == "FAIL":
        return "grossly worse"
    is_answered = measured.judgement == "INCONCLUSIVE" and measured.judgement_gross == "PASS"
    return "not grossly worse" if is_answered else str(measured.judgement)


def _is_mostly_good(evidence: Evidence) -> bool:
    """Return True if at most one round in ten was bad; a single bad round is permitted."""
    tolerated = max(1, evidence.bake_rounds // 10)
    return 0 <= evidence.bake_bad_rounds <= tolerated and evidence.bake_bad_rounds < evidence.bake_rounds


def _passed_if(condition: bool) -> CheckStatus:
    return CheckStatus.PASSED if condition else CheckStatus.FAILED


def _at_least(name: str, title: str, count: int, needed: int) -> Check:
    return Check(
        name, title, CheckStatus.PASSED if count >= needed else CheckStatus.UNKNOWN, f"{count:,}", f">= {needed:,}"
    )


def _at_most(name: str, title: str, count: int | None, allowed: int, *, note: str = "") -> Check:
    status = CheckStatus.UNKNOWN if count is None or count < 0 else _passed_if(count <= allowed)
    return Check(name, title, status, _count(count), f"<= {allowed:,}" if allowed else "0", note)


def _counted(name: str, title: str, measured: Measured, allowed: int, *, note: str = "") -> Check:
    """Check a count of requests, without those that do not count against the candidate."""
    check = _at_most(name, title, _against_candidate(measured, name), allowed, note=note)
    return replace(check, value=check.value + _excused_note(measured, name))


def _against_candidate(measured: Measured, name: str) -> int | None:
    """Return the part of one count that counts against the candidate; None if it was not measured."""
    total = getattr(measured, name)
    return None if total is None else int(total) - measured.excused.get(name, 0)


def _excused_note(measured: Measured, name: str) -> str:
    excused = measured.excused.get(name, 0)
    return f"; {excused:,} more before the switch count against the version before" if excused else ""


def _count(number: int | None) -> str:
    return "not measured" if number is None else f"{number:,}"


def in_words(checks: Sequence[Check]) -> str:
    """Return the first checks in words, each with its value and what was required."""
    parts = [
        f"{check.title}: {check.value}" + ("" if check.name.startswith("test ") else f" (required: {check.threshold})")
        for check in checks[:4]
    ]
    more = f"; and {len(checks) - 4} more" if len(checks) > 4 else ""
    return "; ".join(parts) + more
