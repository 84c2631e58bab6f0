"""Is what the candidate answers like what the active version answers? Large changes, and headers worth telling.

Pages differ from release to release: titles, items, hashes of files. So only what every answer of one version has, and
no answer of the other one, is a difference. docs/VERDICT.md has the rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Final

from cakravia_verify.analysis.answer_shape import NOT_JSON, ContentAnswer, Family, kind_of_json
from cakravia_verify.foreign_text import LONGEST_NAME, one_line

DANGEROUS: Final = "DANGEROUS"
"""Stands in remarks on changes that may harm users beyond a rollback."""
SHRUNK: Final = 10
"""A body is much smaller if this many of it would fit into the smallest one before."""
LEAST_BYTES: Final = 500
LEAST_TEXT: Final = 200
LEAST_ELEMENTS: Final = 4
LEAST_ELEMENTS_KEPT: Final = 0.4
LEAST_FIELDS_KEPT: Final = 0.5
LONGEST_MAX_AGE: Final = 86_400
SECURITY_HEADERS: Final = (
    "content-security-policy",
    "strict-transport-security",
    "x-frame-options",
    "x-content-type-options",
    "referrer-policy",
    "permissions-policy",
    "cross-origin-opener-policy",
    "cross-origin-embedder-policy",
    "cross-origin-resource-policy",
)


@dataclass(frozen=True)
class ContentDifference:
    """How the answers to one kind of request differ. `change` is '' without a large change; `told` are remarks."""

    change: str = ""
    told: tuple[str, ...] = ()


def difference(before: Sequence[ContentAnswer], after: Sequence[ContentAnswer]) -> ContentDifference:
    """Return how the answers of the candidate differ from those of the active version. All of them are good answers."""
    if not before or not after:
        return ContentDifference()
    return ContentDifference(next(_changes(before, after), ""), tuple(_told(before, after)))


def _changes(before: Sequence[ContentAnswer], after: Sequence[ContentAnswer]) -> Iterator[str]:
    statuses = {answer.status for answer in before}
    for answer in after:
        if answer.status not in statuses and not _both_redirect(answer.status, statuses):
            yield f"status {answer.status} instead of {' or '.join(map(str, sorted(statuses)))}"
    smallest = min(answer.size for answer in before)
    if smallest and any(not answer.size for answer in after):
        yield f"an empty body instead of {smallest:,} bytes"
    families = {answer.family for answer in before}
    for answer in after:
        if answer.size and answer.family not in families and Family.NONE not in families:
            was = before[0].media_type or "no type"
            yield one_line(f"content type {answer.media_type or 'missing'} instead of {was}")
    if any(answer.is_packed for answer in (*before, *after)):
        return
    if not any(answer.failure for answer in before):
        yield from (f"the body says {answer.failure!r}" for answer in after if answer.failure)
    if families == {Family.HTML}:
        yield from _page_changes(before, after)
    elif families == {Family.JSON}:
        yield from _json_changes(before, after)
    largest = max(answer.size for answer in after)
    if smallest >= LEAST_BYTES and largest * SHRUNK < smallest:
        yield f"{largest:,} bytes instead of {smallest:,}"


def _both_redirect(status: int, statuses: set[int]) -> bool:
    return 300 <= status < 400 and status != 304 and any(300 <= each < 400 and each != 304 for each in statuses)


def _page_changes(before: Sequence[ContentAnswer], after: Sequence[ContentAnswer]) -> Iterator[str]:
    kept = frozenset.intersection(*(frozenset(answer.page.elements) for answer in before))
    found = frozenset[str]().union(*(answer.page.elements for answer in after))
    if kept and not found:
        yield "no element of a page is left"
    same = len(kept & found)
    if len(kept) >= LEAST_ELEMENTS and same < LEAST_ELEMENTS_KEPT * len(kept):
        yield f"{same} of {len(kept)} kinds of elements are left"
    text = min(len(answer.page.text) for answer in before)
    left = max(len(answer.page.text) for answer in after)
    if text and not left:
        yield f"no text is left of {text:,} characters"
    if text >= LEAST_TEXT and left * SHRUNK < text:
        yield f"{left:,} characters of text instead of {text:,}"
    if not text and all(each.page.has_script for each in before) and not any(each.page.has_script for each in after):
        yield "a page that a script fills has no script any more"


def _json_changes(before: Sequence[ContentAnswer], after: Sequence[ContentAnswer]) -> Iterator[str]:
    if any(answer.is_cut for answer in (*before, *after)) or any(answer.json is NOT_JSON for answer in before):
        return
    if any(answer.json is NOT_JSON for answer in after):
        yield "the body is no JSON any more"
        return
    kinds = {kind_of_json(answer.json) for answer in before}
    for answer in after:
        if kind_of_json(answer.json) not in kinds:
            yield f"{kind_of_json(answer.json)} instead of {' or '.join(sorted(kinds))}"
    kept, gone = _fields(before, after)
    if gone and len(kept - gone) < LEAST_FIELDS_KEPT * len(kept):
        yield f"{len(kept - gone):,} of {len(kept):,} fields are left"


def _fields(before: Sequence[ContentAnswer], after: Sequence[ContentAnswer]) -> tuple[frozenset[str], frozenset[str]]:
    """Return the fields that every answer had before, and those of them that no answer has any more."""
    kept = frozenset.intersection(*(answer.fields for answer in before))
    return kept, kept - frozenset[str]().union(*(answer.fields for answer in after))


# Headers, and what else is told.


def _told(before: Sequence[ContentAnswer], after: Sequence[ContentAnswer]) -> Iterator[str]:
    clears = [any("clear-site-data" in answer.headers for answer in side) for side in (before, after)]
    if clears == [False, True]:
        yield f"{DANGEROUS}: Clear-Site-Data is new: browsers delete cookies and stored data of the site"
    yield from _caching(before, after)
    yield from _cookies(before, after)
    for name in SECURITY_HEADERS:
        if all(name in answer.headers for answer in before) and not any(name in answer.headers for answer in after):
            yield f"the security header {name} vanished"
    everyone = "access-control-allow-origin"
    if all(answer.headers.get(everyone) == "*" for answer in after) and before[0].headers.get(everyone) != "*":
        yield f"{DANGEROUS}: access-control-allow-origin is * now: every site may read the answers"
    if all(answer.family is Family.JSON and answer.json is not NOT_JSON for answer in (*before, *after)):
        gone = sorted(_fields(before, after)[1])
        if gone:
            yield one_line(f"{len(gone):,} fields vanished: {', '.join(gone[:4])}", longest=LONGEST_NAME)


def _caching(before: Sequence[ContentAnswer], after: Sequence[ContentAnswer]) -> Iterator[str]:
    was, now = _directives(before[0]), _directives(after[0])
    private = {"no-store", "private", "no-cache"}
    if was and not now:
        yield "the header Cache-Control vanished"
    elif was & private and not now & private:
        yield one_line(f"{DANGEROUS}: Cache-Control allows shared caches now: {after[0].headers['cache-control']}")
    if after[0].family is Family.HTML and _lasts(now) and not _lasts(was):
        yield one_line(
            f"{DANGEROUS}: browsers keep this page, also after a rollback: Cache-Control: "
            f"{after[0].headers.get('cache-control', '')}"
        )


def _directives(answer: ContentAnswer) -> set[str]:
    return {part.strip().lower() for part in answer.headers.get("cache-control", "").split(",")} - {""}


def _lasts(directives: set[str]) -> bool:
    ages = [found[1] for part in directives if (found := re.fullmatch(r"max-age=(\d{1,12})", part))]
    return "immutable" in directives or any(int(age) >= LONGEST_MAX_AGE for age in ages)


def _cookies(before: Sequence[ContentAnswer], after: Sequence[ContentAnswer]) -> Iterator[str]:
    was = [_flags(answer) for answer in before]
    now = [_flags(answer) for answer in after]
    for name in sorted(set(was[0]).intersection(*was)):
        shown = one_line(name, longest=LONGEST_NAME)
        if not any(name in flags for flags in now):
            yield f"the cookie {shown} is not set any more"
            continue
        lost = was[0][name] - frozenset[str]().union(*(flags.get(name, frozenset()) for flags in now))
        if lost:
            yield f"{DANGEROUS}: the cookie {shown} lost {', '.join(sorted(lost))}"


def _flags(answer: ContentAnswer) -> dict[str, frozenset[str]]:
    """Return the protections of each cookie by its name."""
    flags: dict[str, frozenset[str]] = {}
    for line in answer.set_cookies:
        try:
            cookies: SimpleCookie = SimpleCookie(line)
        except CookieError:
            continue
        for name, morsel in cookies.items():
            flags[name] = frozenset(flag for flag in ("httponly", "secure", "samesite") if morsel[flag])
    return flags
