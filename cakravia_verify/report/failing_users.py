"""Whether the version that users are left on fails, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

LEAST_FAILURES: Final = 2
LEAST_SHARE: Final = 0.05


def failing_users(traffic: Mapping[str, object]) -> str:
    """Return that the version which users are left on fails, '' if it does not. `traffic` are a report's figures."""
    left = traffic.get("users_left")
    if not isinstance(left, Mapping):
        return ""
    sent, failed = _number(left, "sent"), _number(left, "failed")
    if failed < LEAST_FAILURES or failed < LEAST_SHARE * sent:
        return ""
    sent_before, failed_before = _number(left, "sent_before"), _number(left, "failed_before")
    is_old = sent_before and failed_before >= LEAST_SHARE * sent_before
    before = " It failed before this release as well." if is_old else ""
    return (
        f"THE VERSION THAT USERS ARE ON FAILS: {failed:,} of {sent:,} requests failed since the release was undone "
        f"({left.get('example', '')}).{before}"
    )


def _number(facts: Mapping[str, object], name: str) -> int:
    value = facts.get(name)
    return value if isinstance(value, int) else 0
