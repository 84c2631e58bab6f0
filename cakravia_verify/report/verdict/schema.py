"""The JSON Schema of verdict.json. The shipped file is what the types generate:

python -m cakravia_verify.report.verdict.schema > cakravia_verify/report/verdict/verdict.schema.json
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from cakravia_verify.report.verdict.model import VerdictRecord


class _FileSchema(GenerateJsonSchema):
    """Leaves out the titles of properties, which only repeat their names."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def verdict_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of verdict.json."""
    schema = TypeAdapter(VerdictRecord).json_schema(schema_generator=_FileSchema)
    head = {"$schema": GenerateJsonSchema.schema_dialect, "$id": "urn:cakravia:verdict:1"}
    return head | schema


def schema_text() -> str:
    """Return the schema as the text of the shipped file."""
    return json.dumps(verdict_schema(), indent=2) + "\n"


if __name__ == "__main__":
    print(schema_text(), end="")
