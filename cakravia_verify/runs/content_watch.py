"""Answers of the candidate beside those of the active version: before the switch, and as users get them after it."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Final

import httpx

from cakravia_verify.analysis.answer_shape import LONGEST_BODY, ContentAnswer
from cakravia_verify.analysis.content import ContentDifference, difference
from cakravia_verify.analysis.model import Measurement
from cakravia_verify.errors import ReleaseError
from cakravia_verify.foreign_text import LONGEST_LINE, LONGEST_NAME, one_line
from cakravia_verify.release.machine import Release
from cakravia_verify.runs.preflight import SAFE_METHODS
from cakravia_verify.runs.user_client import header_texts, user_client, user_transport
from cakravia_verify.traffic.plan.mix import JOURNEY_ID, REQUEST_ID, MixEntry
from cakravia_verify.traffic.plan.plan import TrafficPlan

MOST_ENTRIES: Final = 20
SAMPLES: Final = 3
# A kind of request that takes longer is asked for once, and not while users are on the candidate.
SLOW_SECONDS: Final = 0.5
_AT_ONCE: Final = 4
_IDENT: Final = "content"
# Headers of the mix that say how a connection is used and a body packed.
_NOT_ASKED: Final = frozenset({"accept-encoding", "connection"})


@dataclass
class Compared:
    """One kind of request, with the answers that its comparison is made of."""

    entry: MixEntry
    users: list[ContentAnswer] = field(default_factory=list)
    before: Sequence[ContentAnswer] = ()
    after: Sequence[ContentAnswer] = ()
    found: ContentDifference = field(default_factory=ContentDifference)
    is_slow: bool = False

    def weigh(self, before: Sequence[ContentAnswer], after: Sequence[ContentAnswer]) -> None:
        """Compare two sets of answers. A large change stays; later answers do not remove it."""
        good, new = self._good(before), self._good(after)
        found = difference(good, new)
        if not self.before or (found.change and not self.found.change):
            self.before, self.after = good, new or after
        told = tuple(dict.fromkeys((*self.found.told, *found.told)))
        self.found = ContentDifference(self.found.change or found.change, told)

    def require_good(self, before: Sequence[ContentAnswer], after: Sequence[ContentAnswer]) -> None:
        """Note a change if only errors came instead of good answers.

        The measured requests name themselves, these do not: an application may recognise the measured ones.
        """
        if self._good(before) and after and not self._good(after) and not self.found.change:
            self.before, self.after = self._good(before), after
            change = f"status {after[0].status} to each request that looks like an ordinary one"
            self.found = ContentDifference(change, self.found.told)

    def _good(self, answers: Sequence[ContentAnswer]) -> list[ContentAnswer]:
        return [answer for answer in answers if answer.status in self.entry.successes]


class ContentWatch:
    """Asks for each safe request of the mix a few times, and compares the answers of both versions.

    Every request is sent once. `accepted` names the kinds of requests that may change. If `is_required` is False, a
    change is only told.
    """

    def __init__(
        self,
        plan: TrafficPlan,
        *,
        accepted: Collection[str] = (),
        is_required: bool = True,
        transport: Callable[[], httpx.BaseTransport] | None = None,
    ) -> None:
        self._plan = plan
        self._accepted = with_namesakes(accepted, plan)
        self._is_required = is_required
        self._transport = transport or user_transport
        self._switches = 0
        self._recorded: Mapping[str, str] = {}
        self.kinds = [Compared(entry) for entry in entries_of(plan)]

    def remember(self) -> None:
        """Keep the answers that users get now, from the active version."""
        for kind, answers in zip(self.kinds, self._ask(self.kinds, ""), strict=True):
            kind.users = answers

    def preview(self, *, active: str, candidate: str) -> None:
        """Compare both slots before users are moved. `active` and `candidate` are URLs.

        Raises ReleaseError if there is a large change.
        """
        with ThreadPoolExecutor(2) as pool:
            before, after = pool.map(lambda url: self._ask(self.kinds, url), (active, candidate))
        for kind, old, new in zip(self.kinds, before, after, strict=True):
            kind.weigh(old, new)
        self._require_unchanged("users were not moved")

    def require_unchanged(self, release: Release) -> None:
        """Compare what users get since the first switch with what they got before it. Raises ReleaseError."""
        if self._switches == len(release.facts.switchovers):
            return
        self._switches = len(release.facts.switchovers)
        if self._switches == 1:
            self.visit()
            self._require_unchanged("users are on the candidate")

    def visit(self) -> None:
        """Compare what users get now with what they got from the active version."""
        quick = [kind for kind in self.kinds if not kind.is_slow]
        for kind, answers in zip(quick, self._ask(quick, ""), strict=True):
            kind.weigh(kind.users, answers)
            kind.require_good(kind.users, answers)

    def added_to(self, measurement: Measurement, recorded: Mapping[str, str]) -> Measurement:
        """Return the measurement with the comparison. `recorded` are the changes that the ledger shows, by name."""
        self._recorded = recorded
        compared = [kind for kind in self.kinds if kind.before]
        told = [f"{kind.entry.name}: {remark}" for kind in compared for remark in kind.found.told]
        changes = self.changes
        accepted = [
            f"{name}: {change} ({'accepted' if self._is_required else 'only told'})"
            for name, change in self._all_changes().items()
            if name not in changes
        ]
        return replace(
            measurement,
            measured=replace(
                measurement.measured,
                content_compared=len({kind.entry.name for kind in compared} | set(recorded)),
                content_changes=changes,
            ),
            findings=(*measurement.findings, *told, *accepted),
            figures={**measurement.figures, "content": [_shown(kind) for kind in compared]},
        )

    @property
    def changes(self) -> dict[str, str]:
        """Every large change that was not accepted, by the name of the kind of request."""
        found = self._all_changes() if self._is_required else {}
        return {name: change for name, change in found.items() if name not in self._accepted}

    def _all_changes(self) -> dict[str, str]:
        return {**self._recorded, **{each.entry.name: each.found.change for each in self.kinds if each.found.change}}

    def _require_unchanged(self, where: str) -> None:
        for name, change in self.changes.items():
            raise ReleaseError(
                f"the answers to {name!r} changed: {change}; {where}",
                remedy=f"if this is what the release is for: --accept-changes {name!r} (docs/VERDICT.md)",
            )

    def _ask(self, kinds: Sequence[Compared], url: str) -> list[list[ContentAnswer]]:
        """Return the answers to each kind of request, in the same order."""
        if not kinds:
            return []
        with (
            user_client(self._plan, transport=self._transport(), url=url) as client,
            ThreadPoolExecutor(_AT_ONCE) as pool,
        ):
            return list(pool.map(lambda kind: self._answers(client, kind), kinds))

    def _answers(self, client: httpx.Client, kind: Compared) -> list[ContentAnswer]:
        answers: list[ContentAnswer] = []
        for number in range(1 if kind.is_slow else SAMPLES):
            began = time.monotonic()
            answer = _answer(client, kind.entry, f"{_IDENT}-{number}", until=began + self._plan.timeout)
            if answer is None:
                break
            answers.append(answer)
            if time.monotonic() - began > SLOW_SECONDS:
                kind.is_slow = True
                break
        return answers


def entries_of(plan: TrafficPlan) -> tuple[MixEntry, ...]:
    """Return the entries of the mix that may be asked for beside the traffic: safe ones without a body, each once."""
    found: dict[object, MixEntry] = {}
    for entry in plan.mix:
        if entry.method in SAFE_METHODS and not entry.stream and entry.body.kind == "none":
            found.setdefault(_question(entry), entry)
    return tuple(found.values())[:MOST_ENTRIES]


def with_namesakes(names: Collection[str], plan: TrafficPlan) -> frozenset[str]:
    """Return the names, with those of entries that ask for the same over another connection."""
    requests = [each for entry in plan.mix for each in (entry, *entry.steps)]
    asked = {_question(each) for each in requests if each.name in names}
    return frozenset(names) | {each.name for each in requests if _question(each) in asked}


def _question(entry: MixEntry) -> tuple[object, ...]:
    """Return what two entries have in common that ask for the same."""
    return entry.method, entry.path, tuple(each for each in entry.headers if each[0].lower() not in _NOT_ASKED)


def _answer(client: httpx.Client, entry: MixEntry, ident: str, *, until: float) -> ContentAnswer | None:
    """Return the answer to one request, None if there is none in time."""
    headers = {name: _filled(value, ident) for name, value in header_texts(entry.headers).items()}
    headers = {name: value for name, value in headers.items() if name.lower() not in _NOT_ASKED}
    headers["Accept-Encoding"] = "identity"
    body, size = bytearray(), 0
    try:
        path = str(client.base_url).rstrip("/") + _filled(entry.path, ident)
        with client.stream(entry.method, path, headers=headers) as answer:
            for part in answer.iter_raw():
                size += len(part)
                body += part[: max(0, LONGEST_BODY - len(body))]
                if time.monotonic() > until:
                    return None
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        return None
    is_packed = answer.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity")
    return ContentAnswer(
        answer.status_code,
        {name.lower(): value for name, value in answer.headers.items()},
        tuple(answer.headers.get_list("set-cookie")),
        b"" if is_packed else bytes(body),
        size,
        is_packed,
    )


def _filled(text: str, ident: str) -> str:
    return text.replace(REQUEST_ID, ident).replace(JOURNEY_ID, ident)


def _shown(kind: Compared) -> dict[str, Any]:
    """Return what a report shows of one kind of request, side by side."""
    entry = kind.entry
    return {
        "name": one_line(entry.name, longest=LONGEST_NAME),
        "request": one_line(f"{entry.method} {entry.path}", longest=LONGEST_NAME),
        "change": kind.found.change,
        "before": _side(kind.before, kind.found),
        "after": _side(kind.after, kind.found),
    }


def _side(answers: Sequence[ContentAnswer], found: ContentDifference) -> dict[str, Any]:
    if not answers:
        return {}
    answer = answers[0]
    return {
        "status": answer.status,
        "type": one_line(answer.media_type, longest=LONGEST_NAME),
        "size": answer.size,
        "structure": answer.structure,
        "beginning": one_line(answer.text, longest=LONGEST_LINE) if found.change else "",
    }
