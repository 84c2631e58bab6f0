"""What is sent to people: one message, the same for every channel."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum


class Urgency(StrEnum):
    """How soon a person should act."""

    INFO = "info"
    WARNING = "warning"
    PAGE = "page"

    @property
    def rank(self) -> int:
        return tuple(Urgency).index(self)


@dataclass(frozen=True)
class Message:
    """One message. `topic` says what happened in a word, such as "firing"; `at` is in seconds since 1970.

    `id` names the message for good. A message may arrive twice, and both times it has this id.
    """

    id: str
    site: str
    at: float
    topic: str
    urgency: Urgency
    title: str
    text: str

    @property
    def instant(self) -> str:
        return datetime.fromtimestamp(self.at, UTC).isoformat(timespec="milliseconds")

    def as_json(self) -> str:
        return json.dumps(asdict(self) | {"instant": self.instant}, ensure_ascii=True)


def message_from(content: str) -> Message:
    """Return the message that `as_json` wrote."""
    row = json.loads(content)
    row.pop("instant", None)
    return Message(**row | {"urgency": Urgency(row["urgency"])})
