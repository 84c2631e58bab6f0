"""Values as text: safe to show, short, with their unit."""

from __future__ import annotations

import math
import re
import unicodedata

from cakravia_verify.stats.bounds import failures_in_words

_LIMIT = 2000
# These characters reorder their neighbours, so a text could look like another text.
_DECEIVING = re.compile("[\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def visible(text: str, *, limit: int = _LIMIT) -> str:
    """Return `text` with only characters that are displayed.

    Control, reordering and unpaired surrogate characters become U+FFFD. Line ends stay. A text longer than `limit` is
    cut, with a note.
    """
    cut = text if len(text) <= limit else f"{text[:limit]}… ({len(text):,} characters)"
    shown = _DECEIVING.sub("\ufffd", cut)
    return "".join(
        "\ufffd" if unicodedata.category(one) in ("Cc", "Cs") and one not in "\n\t" else one for one in shown
    )


def one_line(text: str, *, limit: int = _LIMIT) -> str:
    """Return `text` made visible, on one line."""
    return " ".join(visible(text, limit=limit).split())


def seconds_in_words(seconds: float | None) -> str:
    """Return a duration with at most three digits and its unit: 0.31 ms, 42 ms, 1.24 s, 3 min 05 s."""
    if seconds is None or not math.isfinite(seconds):
        return "not measured"
    if seconds < 0.0000005:
        return "0 ms"
    if seconds < 1:
        milliseconds = seconds * 1000
        digits = 0 if milliseconds >= 99.95 else 1 if milliseconds >= 9.995 else 2
        return f"{_trimmed(f'{milliseconds:.{digits}f}')} ms"
    if seconds < 99.95:
        return f"{_trimmed(f'{seconds:.{2 if seconds < 9.995 else 1}f}')} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def _trimmed(number: str) -> str:
    return number.rstrip("0").rstrip(".") if "." in number else number


def count_in_words(count: int | None) -> str:
    """Return a count with separators: 30,124."""
    return "not measured" if count is None else f"{count:,}"


def zero_in_words(count: int | None, total: int | None) -> str:
    """Return what zero of `total` proves: "< 0.010% at 95%". Empty if the count is not zero or was not measured."""
    return failures_in_words(0, total).rpartition(", ")[2] if count == 0 and total is not None and total > 0 else ""


def percent_in_words(share: float) -> str:
    """Return a share in percent, rounded down: 99.996% of the plan is less than the whole plan."""
    return f"{_trimmed(f'{int(share * 10_000 + 1e-9) / 100:.2f}')}%"
