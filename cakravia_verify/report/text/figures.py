"""The numbers that a report shows first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cakravia_verify.gate.model import CheckStatus, Measured
from cakravia_verify.kinds import policy_of
from cakravia_verify.report.document import ReleaseDocument
from cakravia_verify.report.switch_times import switch_seconds
from cakravia_verify.report.text.formats import count_in_words, percent_in_words, seconds_in_words, zero_in_words


@dataclass(frozen=True)
class Figure:
    """One number: its name, its value, what it is compared with, and the result of its check."""

    label: str
    value: str
    note: str
    standing: CheckStatus | None


def lost_in_words(measured: Measured | None) -> tuple[str, str]:
    """Return lost requests as a count of all, and what that count proves: ("0 of 30,124", "< 0.010% at 95%")."""
    if measured is None or measured.lost is None:
        return "not measured", ""
    value = f"{measured.lost:,} of {measured.sent:,}" if measured.sent is not None else f"{measured.lost:,}"
    bound = measured.lost_bound.removeprefix(value).lstrip(", ")
    return value, "; ".join(filter(None, (bound, _excused(measured, "lost"))))


def _excused(measured: Measured, name: str) -> str:
    return f"{measured.excused[name]:,} not counted" if measured.excused.get(name) else ""


def silence_in_words(document: ReleaseDocument) -> tuple[str, str]:
    """Return the longest time without a good answer, for all clients together and for one client."""
    measured = document.evidence.measured or Measured()
    one = document.traffic.get("longest_silence_of_one_client")
    seconds = one.get("seconds") if isinstance(one, Mapping) else None
    of_one = f"one client {seconds_in_words(seconds)}" if isinstance(seconds, int | float) else ""
    return seconds_in_words(measured.longest_gap), of_one


def key_figures(document: ReleaseDocument) -> tuple[Figure, ...]:
    """Return the most important numbers of the release, each with the status of its check."""
    measured = document.evidence.measured or Measured()
    standings = {check.name: check.standing for check in document.verdict.checks}
    lost, bound = lost_in_words(document.evidence.measured)
    held = "" if measured.share_held is None else f"{percent_in_words(measured.share_held)} of the plan"
    switch = switch_seconds(document)
    silence, of_one = silence_in_words(document)
    twice = zero_in_words(measured.duplicated, measured.sent)
    late = zero_in_words(measured.fence_violations, measured.sent_after_switch)
    wrong = zero_in_words(measured.errors, measured.sent) or _share(measured.errors, measured.sent)
    wrong = "; ".join(filter(None, (wrong, _excused(measured, "errors"))))
    figures = [
        Figure("Sent", count_in_words(measured.sent), _sent_note(document, held), standings.get("samples")),
        Figure("Lost", lost, bound, standings.get("lost")),
        Figure(
            "Duplicated",
            count_in_words(measured.duplicated),
            twice or "executed more than once",
            standings.get("duplicated"),
        ),
        Figure(
            "Old slot after switch",
            count_in_words(measured.fence_violations),
            late or "fence violations",
            standings.get("fence"),
        ),
        Figure("Errors", count_in_words(measured.errors), wrong, standings.get("errors")),
        Figure("Latency p50", seconds_in_words(measured.p50), "from the planned send time, without streams", None),
        Figure(
            "Latency p99",
            seconds_in_words(measured.p99),
            f"budget {seconds_in_words(document.budget.p99)}",
            standings.get("latency"),
        ),
        Figure("Switch", "not reached" if switch is None else seconds_in_words(switch), "decision to effect", None),
        Figure("Longest silence", silence, of_one or "between good answers", None),
    ]
    policy = policy_of(document.kind)
    if not policy.switches_users and not policy.is_about_load and document.evidence.measured is None:
        return _of_checks(document)
    if not policy.switches_users:
        figures = [one for one in figures if one.label not in ("Old slot after switch", "Switch")]
    return tuple(figures)


def _sent_note(document: ReleaseDocument, held: str) -> str:
    """Return what share of the plan was sent, and how many requests the whole run has if the verdict came before."""
    measured, total = document.evidence.measured, document.traffic.get("total")
    whole = total.get("sent") if isinstance(total, Mapping) else None
    is_more = isinstance(whole, int) and measured is not None and whole > (measured.sent or 0)
    return "; ".join(filter(None, (held, f"until the verdict; {whole:,} in the whole run" if is_more else "")))


def _of_checks(document: ReleaseDocument) -> tuple[Figure, ...]:
    """Return how many checks came out in each way."""
    standings = [check.standing for check in document.verdict.checks]
    return tuple(
        Figure(f"Checks {standing}", f"{standings.count(standing):,}", f"of {len(standings):,}", None)
        for standing in CheckStatus
    )


def _share(part: int | None, whole: int | None) -> str:
    return f"{part / whole:.3%} of sent" if part is not None and whole else ""
