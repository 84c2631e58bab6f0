"""A health answer is not kept by caches."""

from __future__ import annotations

from cakravia_verify.health.probe import Answer


def may_be_cached(answer: Answer) -> str:
    """Return why a cache could keep the answer. It would hide a dead slot."""
    directives = {part.strip().lower() for part in answer.headers.get("Cache-Control", "").split(",")}
    if "no-store" in directives:
        return ""
    named = answer.headers.get("Cache-Control") or "missing"
    return f"Cache-Control is {named}: send Cache-Control: no-store, or a cache may hide a dead slot"
