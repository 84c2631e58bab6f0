"""The type of a health answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from cakravia_verify.health.probe import Answer
from cakravia_verify.health.wording import payload_of

# application/json, application/health+json and every other +json.
JSON_TYPE: Final = re.compile(r"application/([\w.-]+\+)?json", re.IGNORECASE)
CHARSET: Final = re.compile(r"charset=\"?([\w-]+)", re.IGNORECASE)


def wrong_type(answer: Answer) -> str:
    """Return how the body disagrees with Content-Type. A plain word such as `OK` need not be JSON."""
    named = answer.headers.get("Content-Type", "")
    is_json_type = JSON_TYPE.match(named.strip()) is not None
    if not answer.body:
        return ""
    payload = payload_of(answer.body)
    if is_json_type and payload is None:
        return f"Content-Type says {named}, but the body is no JSON: {answer.first_line[:80]}"
    if isinstance(payload, Mapping) and not is_json_type:
        return (
            f"the body is JSON, but Content-Type is {named or 'missing'}: send application/json or "
            "application/health+json"
        )
    charset = CHARSET.search(named)
    if is_json_type and charset and charset[1].lower() not in ("utf-8", "utf8"):
        return f"JSON is UTF-8, but Content-Type says charset={charset[1]}"
    return ""
