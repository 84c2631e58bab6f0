"""A deployment fails with health errors: what the logs and the probes of both slots say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.checks.diagnosis.cause import Cause, Chapter
from cakravia_verify.checks.diagnosis.evidence import SiteEvidence
from cakravia_verify.checks.diagnosis.log_words import meanings_in
from cakravia_verify.health.models import Reading
from cakravia_verify.slots import Colour

REDIRECTS: Final = range(300, 400)


def causes(evidence: SiteEvidence) -> Iterator[Cause]:
    """Yield causes if the newest release failed, or if a slot is ill now."""
    failed = _failed_slot(evidence)
    ill = {
        colour: bad
        for colour, readings in evidence.readings.items()
        if (bad := [reading for reading in readings if not reading.is_healthy])
    }
    for colour in dict.fromkeys((*([failed] if failed else []), *ill)):
        yield from _of_log(evidence, colour)
    for colour, readings in ill.items():
        yield _of_reading(colour, readings[0])
    if failed is not None and failed not in evidence.readings:
        last = evidence.last
        yield Cause(
            Chapter.DEPLOYMENT,
            30,
            f"the version {last.intent.version if last else ''} did not become or stay healthy in {failed}",
            tuple(filter(None, (last.why if last else "", *evidence.slot_logs[failed].splitlines()[-3:]))),
            f"read its whole log: cakravia logs {failed} --lines 500",
        )


def _failed_slot(evidence: SiteEvidence) -> Colour | None:
    """Return the slot of the newest release if that release left no users on it."""
    last = evidence.last
    return last.intent.candidate if last is not None and last.is_finished and not last.holds_users else None


def _of_log(evidence: SiteEvidence, colour: Colour) -> Iterator[Cause]:
    for number, (meaning, line) in enumerate(meanings_in(evidence.slot_logs[colour])):
        likelihood = max(40, 90 - 10 * number)
        yield Cause(Chapter.DEPLOYMENT, likelihood, f"{colour}: {meaning.what}", (line,), meaning.remedy)


def _of_reading(colour: Colour, reading: Reading) -> Cause:
    what, likelihood, remedy = _meaning_of(reading)
    return Cause(Chapter.DEPLOYMENT, likelihood, f"{colour}: {what}", (f"{reading.url}: {reading}",), remedy)


def _meaning_of(reading: Reading) -> tuple[str, int, str]:
    status = reading.status_code
    if status is None and "in time" in reading.problem:
        return (
            f"its endpoint {reading.endpoint} gives no answer in time",
            80,
            "see what it waits for (a database, a lock): cakravia logs; or raise [health] timeout",
        )
    if status is None:
        return (
            f"nothing answers at its address: {reading.problem}",
            75,
            "let the application listen on the address of HOST and PORT",
        )
    if status == 404:
        return (
            f"it has no endpoint {reading.endpoint}",
            85,
            f"correct the path in [contract] {reading.endpoint}, or leave it empty if the application has none",
        )
    if status in (401, 403):
        return (
            "its health endpoint wants a login",
            85,
            "let health endpoints answer without a login, or give them a header: [contract] headers",
        )
    if status in (400, 421):
        return ("it refuses the name in the Host header", 80, "set [site] host to the name that users ask for")
    if status in REDIRECTS:
        return (
            "its health endpoint redirects",
            85,
            'set [site] scheme = "https" if it wants https, [site] host to the name of the site, or correct the path',
        )
    return (
        f"it says that it is ill: {reading.problem}",
        70,
        "correct what the failing check names; the log of the slot has the reason",
    )
