"""What SARIF 2.1.0 says of the properties that our log has (sections 3.13 to 3.35), as a JSON Schema.

No other property is permitted, so a name that SARIF does not know is found. The slow test holds a log against the whole
published schema.
"""

from __future__ import annotations

from typing import Any


def _object(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": False}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


TEXT: dict[str, Any] = {"type": "string", "minLength": 1}
MESSAGE = _object(["text"], text=TEXT)
LEVEL = {"enum": ["none", "note", "warning", "error"]}
RULE = _object(
    ["id"],
    id=TEXT,
    shortDescription=MESSAGE,
    fullDescription=MESSAGE,
    help=MESSAGE,
    defaultConfiguration=_object([], level=LEVEL),
)
PLACE = _object(
    ["artifactLocation"],
    artifactLocation=_object(["uri"], uri=TEXT),
    region=_object(["startLine"], startLine={"type": "integer", "minimum": 1}),
)
SUPPRESSION = _object(["kind"], kind={"enum": ["inSource", "external"]}, justification=TEXT)
RESULT = _object(
    ["message"],
    ruleId=TEXT,
    level=LEVEL,
    message=MESSAGE,
    locations=_list(_object([], physicalLocation=PLACE)),
    suppressions=_list(SUPPRESSION),
)
RUN = _object(
    ["tool"],
    tool=_object(["driver"], driver=_object(["name"], name=TEXT, version=TEXT, rules=_list(RULE))),
    columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
    results=_list(RESULT),
)
LOG = _object(["version", "runs"], **{"$schema": TEXT}, version={"const": "2.1.0"}, runs=_list(RUN))
