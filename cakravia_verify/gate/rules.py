"""The rule that weighs evidence into a verdict. Pure, and closed by default: what was not shown was not so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from cakravia_verify.gate.model import Budget, Check, CheckStatus, Decision, Evidence, Measured, Verdict


def judge(evidence: Evidence, budget: Budget) -> Verdict:
    """The verdict. PROMOTE takes every check passed; one failed makes ROLL BACK; anything not shown, INCONCLUSIVE."""
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
            evidence.failure or ("all done" if evidence.bake_rounds else "not all were reached"),
            "no failure",
        ),
        _identity_check(evidence),
        _at_least(
            "health", "Good health readings of the candidate", evidence.health_rounds, evidence.health_rounds_needed
        ),
        _at_least("smoke", "Smoke requests answered by the candidate", evidence.smoke_passed, evidence.smoke_planned),
        _at_least(
            "confirm",
            "Answers through the proxy naming the candidate",
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
    standing = CheckStatus.UNKNOWN
    if built and running:
        standing = _passed_if(built == running)
    if evidence.is_candidate_gone:
        standing = CheckStatus.FAILED
    value = "the candidate's process is gone" if evidence.is_candidate_gone else running[:19] or "not read"
    return Check("identity", "The candidate runs exactly what was built", standing, value, built[:19] or "not built")


def _serving_check(evidence: Evidence) -> Check:
    """Compare slot, version and digest of what serves users with those of the candidate."""
    candidate = (evidence.candidate_slot, evidence.version, evidence.built_digest)
    serving = (evidence.serving_slot, evidence.serving_version, evidence.serving_digest)
    pairs = list(zip(serving, candidate, strict=True))
    standing = CheckStatus.UNKNOWN
    if evidence.serving_problem or any(one and other and one != other for one, other in pairs):
        standing = CheckStatus.FAILED
    elif all(one and one == other for one, other in pairs):
        standing = CheckStatus.PASSED
    return Check(
        "serving",
        "The candidate serves users at the end",
        standing,
        evidence.serving_problem or _named(*serving) or "not read",
        _named(*candidate) or "not staged",
    )


def _named(slot: str, version: str, digest: str) -> str:
    return ", ".join(filter(None, (slot, version, digest[:19])))


def suite_checks(required: Mapping[str, str]) -> Sequence[Check]:
    """The required checks of the suite: only one that passed speaks for itself."""
    if not required:
        return [Check("suite", "The suite's gate checks", CheckStatus.UNKNOWN, "none was collected", "at least one")]
    standings = {"passed": CheckStatus.PASSED, "failed": CheckStatus.FAILED, "error": CheckStatus.FAILED}
    return [
        Check(f"test {name}", name, standings.get(outcome, CheckStatus.UNKNOWN), outcome, "passed")
        for name, outcome in required.items()
    ]


def traffic_checks(seen: Measured, budget: Budget, *, has_previous: bool) -> Sequence[Check]:
    """The part of the checks that traffic decides."""
    held = seen.share_held
    checks = [
        Check(
            "samples",
            "Enough requests to judge by",
            CheckStatus.PASSED if (seen.sent or 0) >= budget.min_requests else CheckStatus.UNKNOWN,
            _count(seen.sent),
            f">= {budget.min_requests:,}",
        ),
        Check(
            "schedule",
            "The planned load was really sent",
            CheckStatus.PASSED if held is not None and held >= budget.min_rate_held else CheckStatus.UNKNOWN,
            "not measured" if held is None else f"{held:.2%} of plan",
            f">= {budget.min_rate_held:.0%}",
        ),
        Check(
            "ledger",
            "Every request is accounted for",
            CheckStatus.UNKNOWN
            if seen.sent is None or seen.integrity is None or seen.integrity
            else CheckStatus.PASSED,
            "no ledger" if seen.sent is None or seen.integrity is None else "; ".join(seen.integrity[:3]) or "complete",
            "complete",
        ),
        _counted("lost", "Lost requests", seen, budget.lost, note=seen.lost_bound),
        _counted("unreached", "Requests that could not even be sent", seen, budget.lost),
        _at_most("duplicated", "Requests executed more than once", seen.duplicated, budget.duplicated),
        _at_most("fence", "Answers by the old slot to requests sent after the switch", seen.fence_violations, 0),
        _counted("masked", "Requests another slot answered in the candidate's place", seen, 0),
        _errors_check(seen, budget, has_previous=has_previous),
        Check(
            "latency",
            "99th percentile of latency, from the planned instant",
            CheckStatus.UNKNOWN if seen.p99 is None or seen.p99 < 0 else _passed_if(seen.p99 <= budget.p99),
            "not measured" if seen.p99 is None else f"{seen.p99 * 1000:,.0f} ms",
            f"<= {budget.p99 * 1000:,.0f} ms",
        ),
        Check(
            "users",
            "Users were answered by the candidate after the switch",
            # Most of the traffic may have gone to the version before; what is judged is the candidate's part.
            CheckStatus.PASSED if (seen.candidate_answers or 0) >= _candidate_part(budget) else CheckStatus.UNKNOWN,
            _count(seen.candidate_answers),
            f">= {_candidate_part(budget):,}",
        ),
    ]
    if not has_previous:
        return [check for check in checks if check.name != "fence"]
    return [*checks, *_judgement_checks(seen, budget)]


def _errors_check(seen: Measured, budget: Budget, *, has_previous: bool) -> Check:
    """The larger of two shares decides: the version before answered for the first part of the whole run, and its good
    answers would hide errors of a candidate that was watched for less long."""
    errors, whole = _charged(seen, "errors"), (seen.sent or 0)
    after, since = seen.errors_after_switch, seen.sent_after_switch
    parts = [(errors, whole, "")]
    # A first release has no traffic before its switch, and a load no switch at all.
    if has_previous or since is not None:
        parts.append((after, since or 0, " since the switch"))
    shares = [None if count is None or count < 0 or total <= 0 else count / total for count, total, _ in parts]
    known = [share for share in shares if share is not None]
    standing = CheckStatus.UNKNOWN
    if len(known) == len(shares) or any(share > budget.errors for share in known):
        standing = _passed_if(max(known) <= budget.errors)
    told = [
        f"not measured{where}" if share is None else f"{count:,} ({share:.3%}){where}"
        for (count, _, where), share in zip(parts, shares, strict=True)
    ]
    value = ", ".join(told) + _aside(seen, "errors") if known else "not measured"
    return Check("errors", "Error answers", standing, value, f"<= {budget.errors:.3%}")


def _judgement_checks(seen: Measured, budget: Budget) -> Sequence[Check]:
    """A candidate proven grossly worse than the slot before fails; one not proven as good, where that is required."""
    is_required = budget.judge != "inform"
    if seen.judgement == "" or (seen.judgement is None and not is_required):
        return []
    standings = {"PASS": CheckStatus.PASSED, "FAIL": CheckStatus.FAILED}
    if not is_required:
        standings["INCONCLUSIVE"] = CheckStatus.PASSED
    decides = seen.judgement if is_required else seen.judgement_gross
    return [
        Check(
            "judgement",
            "The candidate is no worse than the previous slot on the same traffic",
            standings.get(decides or "", CheckStatus.UNKNOWN),
            f"{_said(seen)}: {seen.judgement_why}" if seen.judgement else "not measured",
            "PASS" if is_required else "not grossly worse",
        )
    ]


def _candidate_part(budget: Budget) -> int:
    """How many of the required requests the candidate itself must have answered."""
    return max(1, budget.min_requests // 2)


def _said(seen: Measured) -> str:
    return "grossly worse" if seen.judgement_gross == "FAIL" else str(seen.judgement)


def _is_mostly_good(evidence: Evidence) -> bool:
    """One bad round is a flap; more than one in ten is an illness, even where good ones lie between."""
    tolerated = max(1, evidence.bake_rounds // 10)
    return 0 <= evidence.bake_bad_rounds <= tolerated and evidence.bake_bad_rounds < evidence.bake_rounds


def _passed_if(condition: bool) -> CheckStatus:
    return CheckStatus.PASSED if condition else CheckStatus.FAILED


def _at_least(name: str, title: str, seen: int, needed: int) -> Check:
    return Check(
        name, title, CheckStatus.PASSED if seen >= needed else CheckStatus.UNKNOWN, f"{seen:,}", f">= {needed:,}"
    )


def _at_most(name: str, title: str, seen: int | None, allowed: int, *, note: str = "") -> Check:
    standing = CheckStatus.UNKNOWN if seen is None or seen < 0 else _passed_if(seen <= allowed)
    return Check(name, title, standing, _count(seen), f"<= {allowed:,}" if allowed else "0", note)


def _counted(name: str, title: str, seen: Measured, allowed: int, *, note: str = "") -> Check:
    """As `_at_most`, of the requests that are not excused."""
    check = _at_most(name, title, _charged(seen, name), allowed, note=note)
    return replace(check, value=check.value + _aside(seen, name))


def _charged(seen: Measured, name: str) -> int | None:
    """What counts against the candidate of one of the counts that `excused` knows."""
    total = getattr(seen, name)
    return None if total is None else int(total) - seen.excused.get(name, 0)


def _aside(seen: Measured, name: str) -> str:
    excused = seen.excused.get(name, 0)
    return f"; {excused:,} more before the switch are the version before's own" if excused else ""


def _count(number: int | None) -> str:
    return "not measured" if number is None else f"{number:,}"


def in_words(checks: Sequence[Check]) -> str:
    """The first of the checks with what was seen and required."""
    parts = [
        f"{check.title}: {check.value}" + ("" if check.name.startswith("test ") else f" (required: {check.threshold})")
        for check in checks[:4]
    ]
    more = f"; and {len(checks) - 4} more" if len(checks) > 4 else ""
    return "; ".join(parts) + more
