"""The catalogue's JSON Schema, for editors: completion, descriptions and errors while typing.

It is a little more lenient than loading: what takes two keys to be wrong is for `shadow tasks check`.
"""

from __future__ import annotations

from typing import Any

from shadow.catalogue.casts import CASTS
from shadow.catalogue.model import EXPRESSION_MARK, Catalogue

DIALECT = "https://json-schema.org/draft/2020-12/schema"
FILE_NAME = "catalogue.schema.json"

_VARIABLE = {"type": "string", "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}"}
"""A number or boolean may also come from the environment."""


def json_schema() -> dict[str, Any]:
    """The schema, as a document of draft 2020-12 with a relative `$id`."""
    schema: dict[str, Any] = _with_variables(Catalogue.model_json_schema(ref_template="#/$defs/{model}"))
    schema["$defs"]["Expression"] = _expression()
    schema["title"] = "Shadow catalogue"
    return {"$schema": DIALECT, "$id": FILE_NAME, **schema}


def _with_variables(node: Any) -> Any:
    if isinstance(node, list):
        return [_with_variables(item) for item in node]
    if not isinstance(node, dict):
        return node
    if node.get(EXPRESSION_MARK):
        kept = {key: value for key, value in node.items() if key in ("description", "default")}
        return {"$ref": "#/$defs/Expression", **kept}
    built = {key: _with_variables(value) for key, value in node.items()}
    if built.get("type") in ("number", "integer", "boolean"):
        outer = {key: built.pop(key) for key in ("title", "description", "default") if key in built}
        return {**outer, "anyOf": [built, _VARIABLE]}
    return built


def _expression() -> dict[str, Any]:
    inner = {"$ref": "#/$defs/Expression"}
    path = {"type": "string", "pattern": r"^(\$|header:)", "description": "A JSONPath (RFC 9535), or header:NAME"}
    forms = {
        "path": {
            "description": "A path with a cast, or allowed to find nothing",
            "properties": {
                "path": path,
                "as": {"enum": list(CASTS), "description": "What to make of the value"},
                "optional": {"type": "boolean", "description": "Leave the key out where nothing is found"},
            },
            "required": ["path"],
            "additionalProperties": False,
        },
        "lookup": {
            "description": "A row of one of the source's tables",
            "properties": {
                "lookup": {"type": "string", "description": "The table"},
                "key": inner,
                "else": {"description": "What to take when there is no such row"},
            },
            "required": ["lookup", "key"],
            "additionalProperties": False,
        },
    }
    return {
        "description": "Where a value comes from: a JSONPath ($...), a header (header:NAME), a mapping with path, "
        "lookup, value or build, a mapping or list of expressions, or a literal",
        "if": {"type": "object", "required": ["path"]},
        "then": forms["path"],
        "else": {
            "if": {"type": "object", "required": ["lookup"]},
            "then": forms["lookup"],
            "else": {
                "if": {"type": "object", "required": ["value"], "maxProperties": 1},
                "then": {"description": "A literal, whatever it looks like"},
                "else": {
                    "if": {"type": "object"},
                    "then": {"additionalProperties": inner},
                    "else": {"if": {"type": "array"}, "then": {"items": inner}},
                },
            },
        },
    }
