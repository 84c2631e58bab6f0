"""What verdict.json holds. pydantic checks a file by these types; the shipped JSON Schema is generated from them."""

from typing import Annotated, Any, Final, Literal, NotRequired

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from cakravia_verify.gate.model import CheckStatus, Decision

SCHEMA: Final = "cakravia-verdict/1"
FILE_NAME: Final = "verdict.json"
# The same verdict, signed. It covers verdict.json, so no seal covers it.
ENVELOPE_NAME: Final = "verdict.intoto.json"
TEST_RESULT_NAME: Final = "test-result.intoto.json"
# They are about the sealed files, so the seal does not cover them.
ENVELOPE_NAMES: Final = (ENVELOPE_NAME, TEST_RESULT_NAME)
# The outcome of a release that brought users to its version. history/releases.py has the outcomes of a release.
PROMOTED: Final = "promoted"

Count = Annotated[int, Field(ge=0)]
# None always means "not measured".
MaybeCount = Count | None
MaybeNumber = float | None
# JSON has no enum: the text of a member stands for it.
DecisionText = Annotated[Decision, Field(strict=False)]
CheckStatusText = Annotated[CheckStatus, Field(strict=False)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]

_CLOSED: Final = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
# A later release of the same schema version may add fields.
_OPEN: Final = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)


@with_config(_CLOSED)
class SwitchRecord(TypedDict):
    """When users were sent to the candidate and back, in seconds since the release began, and how long it took."""

    at: MaybeNumber
    returned_at: MaybeNumber
    seconds: MaybeNumber


@with_config(_CLOSED)
class CheckRecord(TypedDict):
    """One check of the gate: its value, what was required, and how it came out."""

    name: str
    title: str
    standing: CheckStatusText
    value: str
    threshold: str
    detail: str


@with_config(_OPEN)
class BudgetRecord(TypedDict):
    """How many failures and how much latency users may get."""

    lost: Count
    duplicated: NotRequired[Count]
    broken_pages: NotRequired[Count]
    left_open: NotRequired[Count]
    errors: Annotated[MaybeNumber, Field(description="Share of all requests sent.")]
    p99: Annotated[MaybeNumber, Field(description="Seconds.")]
    min_requests: NotRequired[Count]
    min_each: NotRequired[
        Annotated[Count, Field(description="Good answers of the candidate that every entry of the mix needs.")]
    ]
    min_rate_held: NotRequired[MaybeNumber]
    judge: NotRequired[
        Annotated[str, Field(description="require or inform: whether a comparison without a result prevents PROMOTE.")]
    ]
    judge_warm_up: NotRequired[
        Annotated[float, Field(description="Seconds at the beginning of each side that are not compared.")]
    ]
    growth: NotRequired[
        Annotated[str, Field(description="require or inform: whether a candidate that grows prevents PROMOTE.")]
    ]
    content: NotRequired[
        Annotated[str, Field(description="require or inform: whether answers that changed too much prevent PROMOTE.")]
    ]


@with_config(_OPEN)
class MeasuredRecord(TypedDict):
    """What the traffic showed. Counts are requests, latencies are seconds from the planned instant."""

    sent: MaybeCount
    answered: NotRequired[MaybeCount]
    lost: Annotated[
        MaybeCount, Field(description="Sent, but not answered completely and correctly; counted without any retry.")
    ]
    errors: NotRequired[MaybeCount]
    unreached: NotRequired[Annotated[MaybeCount, Field(description="Not sent, because there was no connection.")]]
    duplicated: NotRequired[Annotated[MaybeCount, Field(description="Executed more than once.")]]
    masked: NotRequired[Annotated[MaybeCount, Field(description="Answered by the other slot instead.")]]
    fence_violations: NotRequired[
        Annotated[MaybeCount, Field(description="Sent after the switch was effective, but answered by the old slot.")]
    ]
    candidate_answers: NotRequired[MaybeCount]
    answers_each: NotRequired[
        Annotated[
            dict[str, Count] | None,
            Field(description="Good answers of the candidate after the switch, by the name of each entry of the mix."),
        ]
    ]
    share_held: NotRequired[Annotated[MaybeNumber, Field(description="Achieved arrivals divided by planned arrivals.")]]
    p50: NotRequired[MaybeNumber]
    p99: NotRequired[MaybeNumber]
    longest_gap: NotRequired[
        Annotated[MaybeNumber, Field(description="Longest time in seconds without a good answer.")]
    ]
    lost_bound: NotRequired[
        Annotated[str, Field(description="The count of lost requests with its exact upper confidence bound.")]
    ]
    integrity: NotRequired[
        Annotated[
            list[str] | None,
            Field(description="What the ledger cannot account for: empty if it is complete, null if there is none."),
        ]
    ]
    idle_closes: NotRequired[MaybeCount]
    sent_after_switch: NotRequired[MaybeCount]
    errors_after_switch: NotRequired[
        Annotated[MaybeCount, Field(description="Error answers among the requests of sent_after_switch.")]
    ]
    excused: NotRequired[
        Annotated[
            dict[str, Count],
            Field(description="Failures of the old slot before the switch, which the gate does not count."),
        ]
    ]
    open_pages: NotRequired[
        Annotated[
            MaybeCount, Field(description="Pages of the mix that were open in a browser when users were switched.")
        ]
    ]
    broken_pages: NotRequired[
        Annotated[MaybeCount, Field(description="Open pages of which a file did not come any more after a switch.")]
    ]
    old_sessions: NotRequired[
        Annotated[MaybeCount, Field(description="Journeys begun before the switch and continued after it.")]
    ]
    old_sessions_failed: NotRequired[MaybeCount]
    new_sessions: NotRequired[Annotated[MaybeCount, Field(description="Journeys begun after the switch.")]]
    new_sessions_failed: NotRequired[MaybeCount]
    content_compared: NotRequired[
        Annotated[MaybeCount, Field(description="Kinds of requests whose answers were compared with the old slot's.")]
    ]
    content_changes: NotRequired[
        Annotated[dict[str, str], Field(description="Large changes that were not accepted, by the request's name.")]
    ]
    growth: NotRequired[
        Annotated[list[str] | None, Field(description="What of the candidate grew through the bake, in words.")]
    ]
    judgement: NotRequired[
        Annotated[
            str | None,
            Field(description="Comparison with the old slot: PASS, FAIL or INCONCLUSIVE; empty if there is none."),
        ]
    ]
    judgement_gross: NotRequired[
        Annotated[str | None, Field(description="The same comparison with the wide tolerance.")]
    ]
    judgement_why: NotRequired[str]


@with_config(_OPEN)
class EvidenceRecord(TypedDict):
    """Everything that the gate considered."""

    release: NotRequired[str]
    kind: NotRequired[str]
    version: NotRequired[str]
    candidate: NotRequired[str]
    candidate_slot: NotRequired[str]
    is_candidate_gone: NotRequired[bool]
    built_digest: NotRequired[str]
    running_digest: NotRequired[str]
    has_previous: NotRequired[bool]
    health_rounds: NotRequired[Count]
    health_rounds_needed: NotRequired[Count]
    bake_rounds: NotRequired[Count]
    bake_bad_rounds: NotRequired[Count]
    bake_seconds: NotRequired[MaybeNumber]
    bake_seconds_planned: NotRequired[float]
    smoke_passed: NotRequired[Count]
    smoke_planned: NotRequired[Count]
    confirmations: NotRequired[Count]
    confirmations_needed: NotRequired[Count]
    serving: NotRequired[str]
    serving_slot: NotRequired[str]
    serving_version: NotRequired[str]
    serving_digest: NotRequired[str]
    serving_problem: NotRequired[str]
    failure: NotRequired[str]
    interrupted: NotRequired[str]
    required: Annotated[dict[str, str], Field(description="Each required check of the suite and its outcome.")]
    measured: Annotated[MeasuredRecord | None, Field(description="null if no traffic was measured.")]
    objections: NotRequired[list[str]]


@with_config(_CLOSED)
class EventRecord(TypedDict):
    """One moment of a step. `at` is in seconds since the release began, `seconds` is how long the step had taken."""

    step: str
    kind: str
    at: MaybeNumber
    seconds: MaybeNumber
    note: str


@with_config(_CLOSED)
class WindowRecord(TypedDict):
    """The requests before, during or after a switch. Latencies and the longest gap are seconds."""

    name: str
    requests: Count
    lost: Count
    errors: Count
    p50: MaybeNumber
    p99: MaybeNumber
    longest_gap: MaybeNumber


@with_config(_CLOSED)
class VerdictRecord(TypedDict):
    """The verdict on one release. Instants are ISO 8601 in UTC, durations are seconds, null means "not measured".

    Within this version of the schema `evidence`, `evidence.measured` and `budget` may gain fields, which a reader may
    ignore. Nothing else changes.
    """

    schema: Literal["cakravia-verdict/1"]
    decision: DecisionText
    why: str
    outcome: Annotated[
        str,
        Field(
            description="How the release ended: promoted, rolled back, unproven or needs a person; a load: measured; "
            "checks: checked."
        ),
    ]
    exit_status: Annotated[
        Count, Field(description="The exit status of the session. docs/OPERATIONS.md has the meaning of each.")
    ]
    what_happened: Annotated[str, Field(description="What the release did to users, as a sentence.")]
    next_step: Annotated[str, Field(description="What to do now, as a sentence.")]
    release: Annotated[str, Field(description="The id of the release.")]
    kind: Annotated[str, Field(description="deploy, rollback, load or check.")]
    version: str
    digest: Annotated[str, Field(description="The identity of the artifact that was released.")]
    slot: Annotated[str, Field(description="The slot that runs this version.")]
    previous_version: Annotated[str, Field(description="Empty if no version was active before.")]
    site: str
    platform: str
    host: str
    who: str
    reason: str
    tool: str
    settings_digest: str
    started_at: str
    finished_at: str
    seconds: float
    switch: SwitchRecord
    checks: Annotated[list[CheckRecord], Field(description="Everything that the gate checked, in its order.")]
    budget: BudgetRecord
    evidence: EvidenceRecord
    timeline: Annotated[list[EventRecord], Field(description="Every moment of every step.")]
    windows: list[WindowRecord]
    lost_rows: Annotated[list[dict[str, Any]], Field(description="The first raw rows of lost requests.")]
    traffic: Annotated[
        dict[str, Any], Field(description="The plan of the traffic, and what the load generator reports.")
    ]
    findings: list[str]
    drift: list[str]
    files: Annotated[
        dict[str, Sha256], Field(description="Every other file of the report folder and its SHA-256 in hexadecimal.")
    ]
