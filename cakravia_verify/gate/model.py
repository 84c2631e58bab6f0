"""The values of the gate: evidence, budget, checks, verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum


class Decision(StrEnum):
    """The gate's decision: one of the first three for a release, INCONCLUSIVE or one of two words for a load and for
    checks."""

    PROMOTE = "PROMOTE"
    ROLL_BACK = "ROLL BACK"
    INCONCLUSIVE = "INCONCLUSIVE"
    WITHIN_BUDGET = "WITHIN BUDGET"
    OVER_BUDGET = "OVER BUDGET"
    PASSED = "PASSED"
    FAILED = "FAILED"


class Exit(IntEnum):
    """The exit statuses of a session. A load and checks use the numbers of a release."""

    PROMOTED = 0
    WITHIN_BUDGET = 0
    CHECKS_PASSED = 0
    ROLLED_BACK = 1
    OVER_BUDGET = 1
    CHECKS_FAILED = 1
    INTERRUPTED = 2
    USAGE_ERROR = 4
    INCONCLUSIVE = 10
    NEEDS_A_PERSON = 11
    LOCK_HELD = 12
    UNPROVEN = 13


class CheckStatus(StrEnum):
    """The result of one check. Only PASSED counts for a promotion."""

    PASSED = "passed"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Check:
    """One check of the gate: the value that was found beside the value that was required."""

    name: str
    title: str
    standing: CheckStatus
    value: str
    threshold: str
    detail: str = ""


@dataclass(frozen=True)
class Measured:
    """What the traffic showed, as numbers. Counts are requests; latencies are seconds from the planned send instant;
    `judgement` is PASS, FAIL or INCONCLUSIVE, empty where there is nothing to compare with; `judgement_gross` is the
    same question asked with the wide tolerance (docs/COMPARISON.md). `excused` says how many of `lost`, `errors`,
    `unreached` and `masked` are not the candidate's: all four count everything that happened.
    `answers_each` are the candidate's good answers after the switch, by the name of each entry of the mix.
    `open_pages` were loaded before a switch; `broken_pages` of them missed a file after one.
    `content_compared` is the number of kinds of requests whose answers were compared with those of the active version;
    `content_changes` are their large changes, in words, by the name of the request.
    `growth` says what of the candidate grew through the bake.
    `old_sessions` were opened before the switch and used after it, `new_sessions` were opened after it.
    `share_held` is achieved over planned arrivals; `integrity` holds what the ledger cannot account for. None: was not
    measured."""

    sent: int | None = None
    answered: int | None = None
    lost: int | None = None
    errors: int | None = None
    unreached: int | None = None
    duplicated: int | None = None
    masked: int | None = None
    fence_violations: int | None = None
    candidate_answers: int | None = None
    answers_each: Mapping[str, int] | None = None
    share_held: float | None = None
    p50: float | None = None
    p99: float | None = None
    longest_gap: float | None = None
    lost_bound: str = ""
    integrity: tuple[str, ...] | None = None
    idle_closes: int | None = None
    sent_after_switch: int | None = None
    errors_after_switch: int | None = None
    excused: Mapping[str, int] = field(default_factory=dict)
    open_pages: int | None = None
    broken_pages: int | None = None
    old_sessions: int | None = None
    old_sessions_failed: int | None = None
    new_sessions: int | None = None
    new_sessions_failed: int | None = None
    content_compared: int | None = None
    content_changes: Mapping[str, str] = field(default_factory=dict)
    growth: tuple[str, ...] | None = None
    judgement: str | None = None
    judgement_gross: str | None = None
    judgement_why: str = ""


@dataclass(frozen=True)
class Evidence:
    """Everything the gate may consider. A field left at its default was not shown.

    `candidate_slot`, `version` and `built_digest` are the candidate; `serving_slot`, `serving_version` and
    `serving_digest` are what answered users at the end, and `serving_problem` says why they got no answer.
    `is_candidate_gone` says that the process which was proven does not run any more. `candidate` and `serving` are text
    for people; the gate does not compare them.

    `required` maps the name of each required check of the suite to its outcome in this session: passed, failed,
    skipped, xfailed, xpassed, error, deselected, rerun or missing.
    """

    release: str = ""
    kind: str = "deploy"
    version: str = ""
    candidate: str = ""
    candidate_slot: str = ""
    built_digest: str = ""
    running_digest: str = ""
    is_candidate_gone: bool = False
    has_previous: bool = True
    health_rounds: int = 0
    health_rounds_needed: int = 1
    bake_rounds: int = 0
    bake_bad_rounds: int = 0
    bake_seconds: float | None = None
    bake_seconds_planned: float = 0.0
    smoke_passed: int = 0
    smoke_planned: int = 1
    confirmations: int = 0
    confirmations_needed: int = 1
    serving: str = ""
    serving_slot: str = ""
    serving_version: str = ""
    serving_digest: str = ""
    serving_problem: str = ""
    failure: str = ""
    interrupted: str = ""
    required: Mapping[str, str] = field(default_factory=dict)
    measured: Measured | None = None
    objections: tuple[str, ...] = ()


@dataclass(frozen=True)
class Budget:
    """The permitted loss, errors and latency.

    `errors` is a share, of all requests sent and of those sent since the switch. `p99` is in seconds. `left_open`
    counts requests that the old slot may still have open when its drain ends, such as streams. `judge` says if a
    comparison without a result stops the promotion ("require") or is only reported ("inform"). `content` says the same
    of answers that changed too much, and `growth` of a candidate that grows through the bake.
    """

    lost: int = 0
    duplicated: int = 0
    broken_pages: int = 0
    left_open: int = 0
    errors: float = 0.0
    p99: float = 2.5
    min_requests: int = 200
    min_each: int = 5
    min_rate_held: float = 0.99
    judge: str = "inform"
    judge_warm_up: float = 1.0
    content: str = "require"
    growth: str = "inform"


@dataclass(frozen=True)
class Verdict:
    """The gate's decision, its reason, and every check behind it."""

    decision: Decision
    why: str
    checks: tuple[Check, ...]

    @property
    def is_promote(self) -> bool:
        return self.decision is Decision.PROMOTE
