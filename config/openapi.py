"""What the OpenAPI document says of every operation alike: the one shape of a refusal."""

from __future__ import annotations

from typing import Any

REFUSAL = {
    "type": "object",
    "description": "Why a request was refused; `fields` says which parts of it are meant.",
    "properties": {
        "code": {"type": "string"},
        "message": {"type": "string"},
        "fields": {"type": "object", "additionalProperties": {}},
    },
    "required": ["code", "message", "fields"],
}


def describe_refusals(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Give each operation the refusal as its default answer."""
    result["components"]["schemas"]["Refusal"] = REFUSAL
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}}
    for path in result["paths"].values():
        for operation in path.values():
            operation["responses"].setdefault("default", {"description": "A refusal.", "content": content})
    return result
